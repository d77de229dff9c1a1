/** The menu of files. It says what is in each of them before one is taken. */

import { exportsOf } from '../state/exports';
import { say } from '../state/store';
import { Icon } from './icons';

function download(key: string): void {
  const group = exportsOf().find(({ exports }) => exports.some((one) => one.key === key));
  const found = group?.exports.find((one) => one.key === key);
  if (!group || !found) return;
  const link = document.createElement('a');
  link.href = found.address;
  link.download = found.file;
  link.click();
  say(`${found.file}: ${group.label}`);
}

export function Export() {
  const groups = exportsOf();
  return (
    <label class="square pick export" title="Export">
      <Icon name="download" />
      <select
        aria-label="Export"
        value=""
        onChange={(event) => {
          download(event.currentTarget.value);
          event.currentTarget.value = '';
        }}
      >
        <option value="" disabled>
          {groups.length === 0 ? 'There is nothing to export yet' : 'Export as a file'}
        </option>
        {groups.map(({ label, exports }) => (
          <optgroup key={label} label={label}>
            {exports.map(({ key, format, file }) => (
              <option key={key} value={key}>
                {format} · {file}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}
