/** The page: the map is all of it, and everything else lies on its edges. */

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

import { listenToKeys } from '../state/keys';
import { closeMap, openMap } from '../state/stage';
import { announcement, isHelpOpen, toast, view } from '../state/store';
import { Attention } from './attention';
import { Drawer } from './drawer';
import { Help } from './help';
import { Legend } from './legend';
import { Notice } from './notice';
import { SeriesPanel } from './series';
import { CellTable } from './table';
import { Tooltip } from './tooltip';
import { TopBar } from './topbar';

export function Page() {
  const canvas = useRef<HTMLDivElement>(null);
  // Keys work from the first picture on: opening the map can take a second where there is no graphics card.
  useLayoutEffect(listenToKeys, []);
  useEffect(() => {
    if (canvas.current) openMap(canvas.current);
    return closeMap;
  }, []);
  const { isTableOpen, isAttentionOpen, selection } = view.value;
  const classes = [
    'page',
    (isTableOpen || isAttentionOpen) && 'has-left',
    selection && 'has-drawer',
    (selection || isHelpOpen.value) && 'has-right',
  ];
  return (
    <div class={classes.filter(Boolean).join(' ')}>
      <TopBar />
      <div class="middle">
        <main class="stage" aria-label="Map">
          <div class="map" ref={canvas} />
          <Tooltip />
          <Notice />
          <Legend />
        </main>
        {isTableOpen && <CellTable />}
        {isAttentionOpen && <Attention />}
        {selection && <Drawer />}
        <Help />
        <div class="toast" role="status">
          {toast.value}
        </div>
      </div>
      <SeriesPanel />
      <div class="unseen" aria-live="polite" id="summary">
        {announcement.value}
      </div>
    </div>
  );
}
