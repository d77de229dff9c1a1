/** Looks for devices by name. */

import { SUGGESTIONS_MAX } from '../limits';
import type { Device, DevicesAnswer } from './answers';
import { ask, url, type Fetch } from './api';

/** Those with `text` anywhere in their name, in small or capital letters; of all tenants where none is named. */
export async function findDevices(
  fetcher: Fetch,
  text: string,
  tenant: string,
  signal: AbortSignal,
): Promise<Device[]> {
  const address = url('devices', { tenant, search: text, limit: SUGGESTIONS_MAX });
  return (await ask<DevicesAnswer>(fetcher, address, signal)).body.devices;
}
