/** Keyboard shortcuts: one list, from which both the keys and their sheet are made. */

import { effect } from '@preact/signals';

import {
  isFreshnessOpen,
  isHelpOpen,
  isMenuOpen,
  isPaused,
  change,
  metrics,
  permalink,
  switchTheme,
  toggle,
  view,
} from './store';
import { copyLink, fitToData, focusMap } from './stage';

export interface Shortcut {
  readonly keys: readonly string[];
  readonly does: string;
  readonly run?: () => void;
}

function step(by: number): void {
  const all = metrics.value;
  if (all.length === 0) return;
  const at = all.indexOf(view.value.metric);
  change({ metric: all[(at + by + all.length) % all.length] as string });
}

/** Whoever opens the table by its key goes on in it, and back to the map from it. */
function toggleTable(): void {
  toggle('isTableOpen');
  requestAnimationFrame(() => {
    const table = document.querySelector('.table');
    const into = table?.querySelector<HTMLElement>('tbody tr') ?? table?.querySelector<HTMLElement>('.scroll');
    if (into) into.focus();
    else focusMap();
  });
}

/** What can be closed: what of it is open now, if anything, and how it closes. Of what a link opens, the last is closed
 * first. */
const PANELS: readonly (readonly [open: () => string | false | undefined, close: () => void])[] = [
  [() => view.value.isTableOpen && 'table', () => change({ isTableOpen: false })],
  [() => view.value.isAttentionOpen && 'attention', () => change({ isAttentionOpen: false })],
  [() => view.value.selection && JSON.stringify(view.value.selection), () => change({ selection: undefined })],
  [() => isMenuOpen.value && 'menu', () => (isMenuOpen.value = false)],
  [() => isFreshnessOpen.value && 'freshness', () => (isFreshnessOpen.value = false)],
  [() => isHelpOpen.value && 'help', () => (isHelpOpen.value = false)],
];

/** What is open, what was opened last at the end. */
let opened: readonly string[] = [];

function noteOpened(): void {
  const open = PANELS.flatMap(([of]) => of() || []);
  opened = [...opened.filter((one) => open.includes(one)), ...open.filter((one) => !opened.includes(one))];
}

/** Closes what was opened last. */
function close(): void {
  const last = opened.at(-1);
  PANELS.find(([of]) => last !== undefined && of() === last)?.[1]();
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: ['/'], does: 'Search for a device', run: () => document.getElementById('search')?.focus() },
  { keys: ['m'], does: 'Go to the map', run: focusMap },
  { keys: ['t'], does: 'Open or close the table', run: toggleTable },
  { keys: ['a'], does: 'What needs a look', run: () => toggle('isAttentionOpen') },
  { keys: ['s'], does: 'Fold or unfold the series', run: () => change({ isSeriesOpen: !view.value.isSeriesOpen }) },
  { keys: ['p'], does: 'Pause or go on', run: () => (isPaused.value = !isPaused.value) },
  { keys: ['['], does: 'Metric before', run: () => step(-1) },
  { keys: [']'], does: 'Next metric', run: () => step(1) },
  { keys: ['f'], does: 'Go to where the data is', run: () => void fitToData() },
  { keys: ['c'], does: 'Copy a link to this view', run: () => void copyLink(permalink()) },
  { keys: ['d'], does: 'Dark or light', run: switchTheme },
  { keys: ['?'], does: 'This list', run: () => (isHelpOpen.value = !isHelpOpen.value) },
  { keys: ['Escape'], does: 'Close what is open', run: close },
  { keys: ['←', '↑', '→', '↓', '+', '−'], does: 'On the map: move and zoom' },
];

/** Obeys the shortcuts until the function that it returns is called. */
export function listenToKeys(): () => void {
  const obey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    const isTyping = target.matches('input, select, textarea');
    if (isTyping && event.key !== 'Escape') return;
    const shortcut = SHORTCUTS.find((one) => one.run && one.keys.includes(event.key));
    if (!shortcut?.run) return;
    event.preventDefault();
    if (isTyping) target.blur();
    shortcut.run();
  };
  addEventListener('keydown', obey);
  const stopNoting = effect(noteOpened);
  return () => {
    removeEventListener('keydown', obey);
    stopNoting();
  };
}
