/** What the page knows, as signals: the view that is asked for, and what has come for it. */

import { batch, computed, effect, signal } from '@preact/signals';

import type { CatalogAnswer } from '../data/answers';
import { fromQuery, toQuery, type View } from './view';

export const view = signal<View>(fromQuery(location.search));

/** Changes parts of the view. */
export function change(parts: Partial<View>): void {
  view.value = { ...view.value, ...parts };
}

export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1_000);

export const catalog = signal<CatalogAnswer['metrics']>([]);
export const tenants = computed(() => [...new Set(catalog.value.map((entry) => entry.tenant))]);
/** Metrics of the chosen tenant, or of all. */
export const metrics = computed(() => {
  const { tenant } = view.value;
  const ofTenant = catalog.value.filter((entry) => tenant === '' || entry.tenant === tenant);
  return [...new Set(ofTenant.map((entry) => entry.metric))].sort();
});
/** The tenant whose data is shown, where it is clear which. */
export const onlyTenant = computed(() => {
  if (view.value.tenant) return view.value.tenant;
  return tenants.value.length === 1 ? (tenants.value[0] ?? '') : '';
});

export const isPaused = signal(false);
export const isHelpOpen = signal(false);
export const isMenuOpen = signal(false);
/** What a screen reader says next. */
export const announcement = signal('');
/** A short word about something just done. */
export const toast = signal('');

let toastTimer: ReturnType<typeof setTimeout> | undefined;
export function say(text: string): void {
  toast.value = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.value = '';
  }, 3_000);
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
    timer = setTimeout(() => {
      history.replaceState(null, '', query ? `?${query}` : location.pathname);
    }, 300);
  });
  addEventListener('popstate', () => batch(() => (view.value = fromQuery(location.search))));
}

/** The address that shows this view to somebody else. */
export function permalink(): string {
  const query = toQuery(view.value);
  return `${location.origin}${location.pathname}${query && '?'}${query}`;
}
