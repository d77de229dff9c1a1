/** The sheet of keyboard shortcuts, and of what signs on the map mean. Beside the map, not over it. */

import { useEffect, useRef } from 'preact/hooks';

import { SHORTCUTS } from '../state/keys';
import { isHelpOpen } from '../state/store';
import { Icon } from './icons';

/** What marks of hexagons mean. */
const SIGNS = [
  ['lit', 'Edged for a moment: just changed'],
  ['selected', 'Selected: the series is of this one'],
  ['pale', 'Pale: no answer, or data older than a minute'],
] as const;

export function Help() {
  const sheet = useRef<HTMLElement>(null);
  const isOpen = isHelpOpen.value;
  useEffect(() => {
    if (isOpen) sheet.current?.querySelector('button')?.focus();
  }, [isOpen]);
  if (!isOpen) return null;
  return (
    <section class="panel help" aria-label="Keyboard shortcuts" ref={sheet}>
      <header class="panel-head">
        <h2>Keyboard</h2>
        <button class="square" aria-label="Close the list of shortcuts" onClick={() => (isHelpOpen.value = false)}>
          <Icon name="close" />
        </button>
      </header>
      <div class="scroll pad" tabIndex={0}>
        <dl class="keys">
          {SHORTCUTS.map(({ keys, does }) => (
            <div key={does}>
              <dt>
                {keys.map((key) => (
                  <kbd key={key}>{key === 'Escape' ? 'Esc' : key}</kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <h3>Marks on the map</h3>
        <ul class="signs">
          {SIGNS.map(([sign, means]) => (
            <li key={sign}>
              <svg class={`sign is-${sign}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
                <path d="M8 1.500 13.600 4.750v6.500L8 14.500 2.400 11.250v-6.500z" />
              </svg>
              {means}
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
