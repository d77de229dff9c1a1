/** What the page knows, as signals: the view that is asked for, and what has come for it. */

import { computed, effect, signal } from '@preact/signals';

import type { CatalogAnswer, Session } from '../data/answers';
import type { Problem } from '../data/api';
import { sentence } from '../format';
import { TOAST_MS, TOAST_LONG_MS } from '../limits';
import { fromQuery, misunderstood, stepOf, titleOf, toQuery, type View } from './view';

export const view = signal<View>(fromQuery(location.search));

/** Changes parts of the view. */
export function change(parts: Partial<View>): void {
  view.value = { ...view.value, ...parts };
}

/** Fills in what nobody has chosen: nothing that going back would undo. */
export function fill(parts: Partial<View>): void {
  const isStep = stepOf(view.value) !== step;
  change(parts);
  if (!isStep) step = stepOf(view.value);
}

/** What the entry of the history that one is at shows. */
let step = stepOf(view.value);
/** How often one has gone back or forth: the map follows. */
export const travels = signal(0);

/** Panels are sheets from below, one over the other. As in `narrow.css`. */
export function hasSheets(): boolean {
  return matchMedia('(max-width: 560px), (max-width: 720px) and (min-height: 561px)').matches;
}

/** Opens one of the panels at the left, or closes it. There is room for one, and none for the menu on small screens; a
 * drawer that would lie over it goes. */
export function toggle(panel: 'isTableOpen' | 'isAttentionOpen'): void {
  isMenuOpen.value = false;
  if (view.value.selection && hasSheets()) {
    return change({ isTableOpen: false, isAttentionOpen: false, [panel]: true, selection: undefined });
  }
  change({ isTableOpen: false, isAttentionOpen: false, [panel]: !view.value[panel] });
}

export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1_000);

/** Who asks; nothing until the server has said so. */
export const session = signal<Session | undefined>(undefined);
/** Why the page cannot start yet. */
export const startProblem = signal<Problem | undefined>(undefined);

export const catalog = signal<CatalogAnswer['metrics']>([]);
/** What is measured has been read at least once. */
export const isCatalogHere = signal(false);
/** Why nothing can be shown yet, wherever that is said: who does not do their part, and what is known of it. */
export const outage = computed<{ readonly title: string; readonly text: string } | undefined>(() => {
  const problem = startProblem.value;
  if (!problem || isCatalogHere.value) return undefined;
  const text = `${sentence(problem.message)} It is tried again by itself.`;
  return { title: problem.title, text };
});
const published = computed(() => new Set(catalog.value.map((entry) => entry.tenant)));
/** Those to choose from: what the key is for, else all that have published. */
export const tenants = computed<readonly string[]>(() => session.value?.tenants ?? [...published.value]);
/** All tenants may be looked at together. */
export const hasAllTenants = computed(() => session.value?.tenants === null);
/** The tenant of the view is one that may be seen, as far as is known. */
export const isTenantOpen = computed(() => {
  const { tenant } = view.value;
  const own = session.value?.tenants;
  return own === null || own === undefined || tenant === '' || own.includes(tenant);
});
/** Metrics of the chosen tenant, or of all. */
export const metrics = computed(() => {
  const { tenant } = view.value;
  const ofTenant = catalog.value.filter((entry) => tenant === '' || entry.tenant === tenant);
  return [...new Set(ofTenant.map((entry) => entry.metric))].sort();
});
/** The tenant whose data is shown, where it is clear which: of all tenants, only one has this metric. */
export const onlyTenant = computed(() => {
  const { tenant, metric } = view.value;
  if (tenant) return tenant;
  const having = new Set(catalog.value.filter((entry) => entry.metric === metric).map((entry) => entry.tenant));
  return having.size === 1 ? ([...having][0] ?? '') : '';
});
/** When the newest value of the chosen metric was, in Unix milliseconds, as the catalog last knew. */
export const newestOfMetricMs = computed<number | undefined>(() => {
  const { tenant, metric } = view.value;
  const times = catalog.value
    .filter((entry) => entry.metric === metric && (tenant === '' || entry.tenant === tenant))
    .map((entry) => Date.parse(entry.last_ts));
  return times.length > 0 ? Math.max(...times) : undefined;
});
/** What the view names and nobody has published yet, as far as the catalog knows. */
export const unheardOf = computed<'tenant' | 'metric' | undefined>(() => {
  const { tenant, metric } = view.value;
  if (!isTenantOpen.value) return 'tenant';
  if (!isCatalogHere.value || catalog.value.length === 0) return undefined;
  if (tenant !== '' && !published.value.has(tenant)) return 'tenant';
  return metric !== '' && !metrics.value.includes(metric) ? 'metric' : undefined;
});

export const isPaused = signal(false);
export const isHelpOpen = signal(false);
export const isMenuOpen = signal(false);
export const isFreshnessOpen = signal(false);
/** What a screen reader says next. */
export const announcement = signal('');
/** A short word about something just done. */
export const toast = signal('');

let toastTimer: ReturnType<typeof setTimeout> | undefined;
export function say(text: string, ms = TOAST_MS): void {
  toast.value = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.value = '';
  }, ms);
}

/** The theme: of the system, until somebody chooses. A matter of the person, not of the link. */
type Theme = 'light' | 'dark';
const THEME_KEY = 'meridian-theme';
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const chosenTheme = signal<Theme | undefined>(readTheme());
const systemTheme = signal<Theme>(prefersDark.matches ? 'dark' : 'light');
prefersDark.addEventListener('change', () => {
  systemTheme.value = prefersDark.matches ? 'dark' : 'light';
});
export const theme = computed(() => chosenTheme.value ?? systemTheme.value);

function readTheme(): Theme | undefined {
  try {
    const kept = localStorage.getItem(THEME_KEY);
    return kept === 'light' || kept === 'dark' ? kept : undefined;
  } catch {
    // Storage may be switched off; then the system decides.
    return undefined;
  }
}

export function switchTheme(): void {
  chosenTheme.value = theme.value === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(THEME_KEY, chosenTheme.value);
  } catch {
    // It holds until the page is closed.
  }
}

/** Keeps address and theme as the state says. */
export function keepPage(): void {
  effect(() => {
    document.documentElement.dataset['theme'] = theme.value;
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const query = toQuery(view.value);
    clearTimeout(timer);
    // Browsers refuse more than a hundred changes in half a minute.
    const next = stepOf(view.value);
    const title = titleOf(view.value, Date.now());
    timer = setTimeout(() => {
      const address = query ? `?${query}` : location.pathname;
      if (next === step) history.replaceState(null, '', address);
      else history.pushState(null, '', address);
      step = next;
      // After the entry of the history that it belongs to has begun.
      document.title = title;
    }, 300);
  });
  addEventListener('popstate', () => {
    const next = fromQuery(location.search);
    step = stepOf(next);
    view.value = next;
    travels.value += 1;
  });
  const fault = misunderstood(location.search);
  if (fault) say(fault, TOAST_LONG_MS);
}

/** The address that shows this view to somebody else. */
export function permalink(): string {
  const query = toQuery(view.value);
  return `${location.origin}${location.pathname}${query && '?'}${query}`;
}
