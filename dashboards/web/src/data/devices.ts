/** Looks for devices by name. */

import { SUGGESTIONS_MAX, TENANTS_SEARCHED_MAX } from '../limits';
import { isIdentifier } from '../state/view';
import type { Device, DevicesAnswer } from './answers';
import { ask, url, type Fetch } from './api';

/** Who searches: the server, by any part of a name (`devices?search=`), or this page, by the start of it. */
const SEARCHER = 'page' as 'server' | 'page';

/** How the names that are found are like what was typed. */
export const MATCHES = SEARCHER === 'server' ? 'has in its name' : 'starts with';

export async function findDevices(
  fetcher: Fetch,
  text: string,
  tenant: string,
  tenants: readonly string[],
  signal: AbortSignal,
): Promise<Device[]> {
  if (SEARCHER === 'server') {
    const address = url('devices', { tenant, search: text, limit: SUGGESTIONS_MAX });
    return (await ask<DevicesAnswer>(fetcher, address, signal)).body.devices;
  }
  const among = tenant ? [tenant] : tenants.slice(0, TENANTS_SEARCHED_MAX);
  const lists = await Promise.all(among.map((one) => startingWith(fetcher, one, text, signal)));
  return lists.flat().slice(0, SUGGESTIONS_MAX);
}

/** Names are answered in order, so those with this start follow the start itself. */
async function startingWith(fetcher: Fetch, tenant: string, start: string, signal: AbortSignal): Promise<Device[]> {
  // What comes right before the start: a shorter name, or one whose last letter is lower.
  const last = start.charCodeAt(start.length - 1);
  const before = start.slice(0, -1) + String.fromCharCode(last - 1);
  const cursor = isIdentifier(before) ? `${tenant}/${before}` : `${tenant}/${start}`;
  const { body } = await ask<DevicesAnswer>(fetcher, url('devices', { tenant, cursor, limit: 200 }), signal);
  return body.devices.filter((one) => one.device.startsWith(start)).slice(0, SUGGESTIONS_MAX);
}
