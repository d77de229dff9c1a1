/** The list of what needs a look: late or lacking data, and devices in view that fell silent. */

import { age, count, sentence } from '../format';
import { ROWS_SHOWN } from '../limits';
import { checkProblem, checked, silenceSeconds, SILENCES, silent, troubles } from '../state/attention';
import { notUpdated } from '../state/hexagons';
import { goTo } from '../state/stage';
import { change, now, outage } from '../state/store';
import { Icon } from './icons';
import { Pick } from './topbar';

const WORDS: Record<(typeof SILENCES)[number], string> = {
  60: '1 minute',
  300: '5 minutes',
  900: '15 minutes',
  3_600: '1 hour',
  86_400: '1 day',
};

export function Attention() {
  const found = troubles.value;
  return (
    <section class="panel attention" aria-label="What needs a look">
      <header class="panel-head">
        <h2>What needs a look</h2>
        <button class="square" aria-label="Close the list" onClick={() => change({ isAttentionOpen: false })}>
          <Icon name="close" />
        </button>
      </header>
      <div class="scroll pad" tabIndex={-1}>
        <h3>The data shown</h3>
        {found.map((text) => (
          <p key={text} class="trouble">
            {text}
          </p>
        ))}
        {found.length === 0 && <p>Nothing is late and nothing is lacking.</p>}
        <h3>Devices in view</h3>
        <div class="silence">
          Silent for more than
          <Pick
            label="Silent for more than"
            value={String(silenceSeconds.value)}
            choices={SILENCES.map((seconds) => [String(seconds), WORDS[seconds]] as const)}
            onPick={(value) => (silenceSeconds.value = Number(value))}
          />
        </div>
        <Silent />
      </div>
    </section>
  );
}

function Silent() {
  const of = checked.value;
  const problem = (checkProblem.value && notUpdated.value) ?? checkProblem.value ?? outage.value?.title;
  if (problem) return <p class="problem">{sentence(problem)}</p>;
  if (!of) return <p class="muted">Loading…</p>;
  const all = silent.value;
  const looked = of.isPart ? `the first ${count(of.devices.length, 'device')}` : count(of.devices.length, 'device');
  return (
    <>
      <p class="muted">
        {of.devices.length === 0 ? 'No device is in view.' : `${all.length === 0 ? 'None' : all.length} of ${looked}.`}
        {of.isPart && ' Zoom in to look at all of them.'}
      </p>
      <ul class="list">
        {all.slice(0, ROWS_SHOWN).map(({ tenant, device, ts, lat, lon }) => (
          <li key={`${tenant}/${device}`}>
            <button
              onClick={() =>
                goTo({ kind: 'device', tenant, device }, lat === null || lon === null ? undefined : [lat, lon])
              }
            >
              <span class="name">{device}</span>
              <span class="muted">{age(now.value - Date.parse(ts))} ago</span>
            </button>
          </li>
        ))}
      </ul>
      {all.length > ROWS_SHOWN && <p class="muted">… and {all.length - ROWS_SHOWN} more.</p>}
    </>
  );
}
