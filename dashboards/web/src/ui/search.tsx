/** Finds a device by its name. */

import { signal } from '@preact/signals';

import type { Device } from '../data/answers';
import { Problem } from '../data/api';
import { findDevices } from '../data/devices';
import { pause } from '../data/pause';
import { SETTLE_MS } from '../limits';
import { door } from '../state/session';
import { focusMap, goTo } from '../state/stage';
import { isMenuOpen, view } from '../state/store';
import { isIdentifier } from '../state/view';
import { Icon } from './icons';

interface Found {
  text: string;
  devices: Device[];
  /** Said in place of a list. */
  note: string | undefined;
}

const text = signal('');
const found = signal<Found | undefined>(undefined);
/** The suggestion that Enter takes. */
const at = signal(0);
const isOpen = signal(false);

let work: AbortController | undefined;

function type(next: string): void {
  text.value = next;
  isOpen.value = true;
  work?.abort();
  work = new AbortController();
  void look(next.trim(), work.signal);
}

async function look(part: string, signal: AbortSignal): Promise<void> {
  if (part === '') {
    found.value = undefined;
    return;
  }
  if (!isIdentifier(part)) {
    show(part, [], `No device is called “${part}”: names have letters, digits and . _ : -`);
    return;
  }
  await pause(SETTLE_MS, signal);
  if (signal.aborted) return;
  try {
    const devices = await findDevices(door.fetch, part, view.value.tenant, signal);
    show(part, devices, devices.length === 0 ? `No device has “${part}” in its name.` : undefined);
  } catch (error) {
    if (!signal.aborted) show(part, [], error instanceof Problem ? error.message : 'the search failed');
  }
}

function show(of: string, devices: Device[], note: string | undefined): void {
  at.value = 0;
  found.value = { text: of, devices, note };
}

function take(device: Device | undefined): void {
  if (!device) return;
  isOpen.value = false;
  isMenuOpen.value = false;
  text.value = '';
  found.value = undefined;
  const place = device.lat === null || device.lon === null ? undefined : ([device.lat, device.lon] as const);
  goTo({ kind: 'device', tenant: device.tenant, device: device.device }, place);
  // The next key is for the page, and not for this field.
  focusMap();
}

function press(event: KeyboardEvent): void {
  const count = found.value?.devices.length ?? 0;
  if (event.key === 'Escape' && isOpen.value && found.value) {
    // The list was opened last; what else is open stays.
    event.preventDefault();
    isOpen.value = false;
  }
  if (event.key === 'Enter') take(found.value?.devices[at.value]);
  if (count > 0 && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
    event.preventDefault();
    at.value = (at.value + (event.key === 'ArrowDown' ? 1 : count - 1)) % count;
  }
}

export function Search() {
  const list = isOpen.value ? found.value : undefined;
  const active = list && list.devices.length > 0 ? `suggestion-${at.value}` : undefined;
  return (
    <div class="search" role="search">
      <Icon name="search" />
      <input
        id="search"
        type="text"
        role="combobox"
        placeholder="Search devices"
        aria-label="Search devices"
        aria-expanded={(list?.devices.length ?? 0) > 0}
        aria-controls="suggestions"
        aria-autocomplete="list"
        aria-activedescendant={active}
        autocomplete="off"
        spellcheck={false}
        maxLength={128}
        value={text.value}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={press}
        onBlur={() => (isOpen.value = false)}
      />
      <kbd aria-hidden="true">/</kbd>
      <ul class="suggestions" id="suggestions" role="listbox" aria-label="Devices" hidden={!list}>
        {list?.devices.map((device, index) => (
          <li
            key={`${device.tenant}/${device.device}`}
            id={`suggestion-${index}`}
            role="option"
            aria-selected={index === at.value}
            // Before the field loses its focus, and with it the list.
            onMouseDown={(event) => {
              event.preventDefault();
              take(device);
            }}
          >
            <span>{device.device}</span>
            <span class="muted">{device.tenant}</span>
          </li>
        ))}
        {list?.note && (
          <li class="note" role="option" aria-disabled="true" aria-selected={false}>
            {list.note}
          </li>
        )}
      </ul>
    </div>
  );
}
