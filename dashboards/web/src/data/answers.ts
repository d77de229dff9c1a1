/** What the query API answers, as documented in `/api/openapi.json`. */

export const AGGREGATES = ['avg', 'count', 'sum', 'min', 'max', 'p50', 'p90', 'p99', 'devices'] as const;
export type Aggregate = (typeof AGGREGATES)[number];

/** Those that the server streams; the others need far more data for each change, so they are asked for. */
export const STREAMED: readonly Aggregate[] = ['avg', 'count', 'sum', 'min', 'max'];

/** `/cells`, and each event of `/live`. */
export interface CellsAnswer {
  metric: string;
  agg: Aggregate;
  period: number;
  res: number;
  from: string;
  to: string;
  cells: string[];
  values: (number | null)[];
  counts: number[];
  freshness: string | null;
  complete: boolean;
  coarsened: boolean;
  /** Of streams: false while the store does not answer, so that something may be lacking. */
  exact?: boolean;
}

export interface SeriesAnswer {
  metric: string;
  agg: Aggregate;
  period: number;
  from: string;
  to: string;
  buckets: string[];
  values: (number | null)[];
  counts: number[];
  freshness: string | null;
  complete: boolean;
}

export interface Device {
  tenant: string;
  device: string;
  ts: string;
  received_at: string;
  lat: number | null;
  lon: number | null;
  metrics: Record<string, number | null>;
  attributes: Record<string, string>;
}

export interface DevicesAnswer {
  devices: Device[];
  next: string | null;
}

export interface TrackAnswer {
  tenant: string;
  device: string;
  from: string;
  to: string;
  points: { ts: string; lat: number; lon: number }[];
  next: string | null;
}

export interface CatalogAnswer {
  metrics: { tenant: string; metric: string; last_ts: string }[];
}

/** `/session`: who asks. */
export interface Session {
  name: string;
  /** The tenants to choose from; none: all there are. */
  tenants: string[] | null;
  scopes: string[];
  /** A key or token was needed. */
  credential: boolean;
}

/** West, south, east, north in degrees; west of more than east crosses the antimeridian. */
export type BoundingBox = readonly [number, number, number, number];

export const WORLD: BoundingBox = [-180, -90, 180, 90];
