/** The sheet of keyboard shortcuts. Beside the map, not over it. */

import { useEffect, useRef } from 'preact/hooks';

import { SHORTCUTS } from '../state/keys';
import { isHelpOpen } from '../state/store';
import { Icon } from './icons';

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
      <dl class="pad keys">
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
    </section>
  );
}
