/** What lies on the map: panels, the legend and what is said, as boxes in the map's own pixels, and when that changes. */

export interface Cover {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const COVERS = '.panel, .legend, .notice, .toast';

/** What covers a map now. */
export function coversOf(map: HTMLElement): readonly Cover[] {
  const { x, y } = map.getBoundingClientRect();
  return [...document.querySelectorAll(COVERS)].map((one) => {
    const { left, top, right, bottom } = one.getBoundingClientRect();
    return { left: left - x, top: top - y, right: right - x, bottom: bottom - y };
  });
}

/** Tells whenever something comes, goes or changes its size beside a map or beside what it stands in. */
export function watchCovers(map: HTMLElement, changed: () => void): () => void {
  const folders = [map.parentElement, map.parentElement?.parentElement].filter((one) => one instanceof HTMLElement);
  const sizes = new ResizeObserver(changed);
  const watchSizes = () => {
    sizes.disconnect();
    for (const one of folders.flatMap((folder) => [...folder.children])) sizes.observe(one);
  };
  const children = new MutationObserver(() => {
    watchSizes();
    changed();
  });
  for (const folder of folders) children.observe(folder, { childList: true });
  watchSizes();
  return () => {
    sizes.disconnect();
    children.disconnect();
  };
}
