/** What one sees before any device has reported: one command that publishes something, ready to be run. */

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

import { copyText } from '../state/stage';
import { session, view } from '../state/store';

/** Where the broker listens, as the status page says. On machines that only serve, nobody knows it here. */
const broker = signal<{ host: string; port: string } | undefined>(undefined);

async function findBroker(): Promise<void> {
  try {
    const status = await (await fetch('/status', { signal: AbortSignal.timeout(5_000) })).text();
    const address = /mqtts?:\/\/[^\s<"]+/.exec(status)?.[0];
    if (!address) return;
    const { hostname, port } = new URL(address);
    broker.value = { host: hostname, port: port || '1883' };
  } catch {
    // The command has words in the place of host and port.
  }
}

export function FirstRun() {
  // Only who operates the server may see where it listens.
  const mayKnow = session.value?.scopes.includes('operate') ?? false;
  useEffect(() => void (mayKnow && findBroker()), [mayKnow]);
  const tenant = view.value.tenant || 'acme';
  const { host, port } = broker.value ?? { host: 'YOUR-BROKER', port: 'ITS-PORT' };
  const command =
    `mosquitto_pub -h ${host} -p ${port} -q 1 -t telemetry/${tenant}/van-1 \\\n` +
    `  -m '{"lat": 52.52, "lon": 13.405, "temperature": 21.5}'`;
  return (
    <div class="notice first-run" role="status">
      <strong>No device has reported yet</strong>
      <p>
        Publish something over MQTT, and it appears here by itself within seconds
        {broker.value ? ':' : '. Say where your broker listens:'}
      </p>
      <pre tabIndex={0}>{command}</pre>
      <div class="notice-buttons">
        <button class="primary" onClick={() => void copyText(command.replace('\\\n ', ''), 'Command copied')}>
          Copy the command
        </button>
        {mayKnow && (
          <a class="plain" href="/status">
            What runs, and where
          </a>
        )}
      </div>
      <p class="small">
        The topic names tenant and device. For a whole fleet start <code>meridian up --demo</code>.
      </p>
    </div>
  );
}
