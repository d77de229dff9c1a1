/** The slim bar: what is shown, of when, and how fresh it is. */

import { AGGREGATES, type Aggregate } from '../data/answers';
import { AGGREGATE_NAMES } from '../format';
import { troubles } from '../state/attention';
import { logOut } from '../state/session';
import { copyLink, fitToData } from '../state/stage';
import {
  change,
  hasAllTenants,
  isHelpOpen,
  isMenuOpen,
  isPaused,
  metrics,
  permalink,
  session,
  switchTheme,
  tenants,
  theme,
  toggle,
  view,
} from '../state/store';
import { PERIODS } from '../state/time';
import { Export } from './export';
import { Freshness } from './freshness';
import { Icon } from './icons';
import { Search } from './search';
import { TimePicker } from './timepicker';

type Choice = readonly [value: string, label: string];

export function Pick(properties: {
  label: string;
  value: string;
  choices: readonly Choice[];
  onPick: (value: string) => void;
  class?: string;
}) {
  const { label, value, choices, onPick } = properties;
  return (
    <label
      class={`pick ${properties.class ?? ''}`}
      title={properties.class && choices.find(([one]) => one === value)?.[1]}
    >
      <span class="unseen">{label}</span>
      <select aria-label={label} value={value} onChange={(event) => onPick(event.currentTarget.value)}>
        {choices.map(([one, text]) => (
          <option key={one} value={one} selected={one === value}>
            {text}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </label>
  );
}

export function TopBar() {
  return (
    <header class="bar">
      <a class="brand" href="/status" title="What runs, and how it is">
        <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
          <path class="brand-hexagon" d="M16 1.5 28.6 8.75v14.5L16 30.5 3.4 23.25V8.75z" />
          <path class="brand-lines" d="M16 6c4.6 5.6 4.6 14.4 0 20M16 6c-4.6 5.6-4.6 14.4 0 20M6.5 16h19" />
        </svg>
        <span class="brand-name">Meridian</span>
      </a>
      <MetricPicks />
      <div class={isMenuOpen.value ? 'more is-open' : 'more'} id="more">
        <div class="picks">
          <TimePicker />
          <Pick
            label="Period"
            value={String(view.value.period)}
            choices={PERIODS.map(([seconds, text]) => [String(seconds), text] as const)}
            onPick={(value) => change({ period: Number(value) })}
          />
          <TenantPick />
        </div>
        <div class="rest">
          <Search />
          <Actions />
        </div>
      </div>
      <Freshness />
      <button
        class="square menu-button"
        aria-expanded={isMenuOpen.value}
        aria-controls="more"
        aria-label="More"
        onClick={() => (isMenuOpen.value = !isMenuOpen.value)}
      >
        <Icon name={isMenuOpen.value ? 'close' : 'menu'} />
      </button>
    </header>
  );
}

function MetricPicks() {
  const { metric, aggregate } = view.value;
  const known = metrics.value.includes(metric) || metric === '' ? metrics.value : [metric, ...metrics.value];
  return (
    <div class="joined">
      <Pick
        label="Metric"
        class="strong is-name"
        value={metric}
        choices={known.length > 0 ? known.map((name) => [name, name] as const) : [['', 'No metric yet']]}
        onPick={(value) => change({ metric: value })}
      />
      <Pick
        label="Aggregate"
        value={aggregate}
        choices={AGGREGATES.map((name) => [name, AGGREGATE_NAMES[name]] as const)}
        onPick={(value) => change({ aggregate: value as Aggregate })}
      />
    </div>
  );
}

function TenantPick() {
  const { tenant } = view.value;
  // What may be chosen is not known yet.
  if (!session.value) return null;
  const known = tenants.value.includes(tenant) || tenant === '' ? tenants.value : [tenant, ...tenants.value];
  const [only] = known;
  if (!hasAllTenants.value && known.length === 1) {
    return (
      <span class="tenant" title="Your key is for this tenant">
        <span class="unseen">Tenant </span>
        {only}
      </span>
    );
  }
  return (
    <Pick
      label="Tenant"
      class="is-name"
      value={tenant}
      choices={[
        ...(hasAllTenants.value ? [['', 'All tenants'] as const] : []),
        ...known.map((name) => [name, name] as const),
      ]}
      onPick={(value) => change({ tenant: value, selection: undefined })}
    />
  );
}

function Actions() {
  const { isTableOpen, isAttentionOpen } = view.value;
  const isDark = theme.value === 'dark';
  return (
    <div class="actions">
      <Toggle
        label={isPaused.value ? 'Go on with live updates' : 'Pause live updates'}
        icon={isPaused.value ? 'play' : 'pause'}
        isOn={isPaused.value}
        onClick={() => (isPaused.value = !isPaused.value)}
      />
      <Toggle label="Table" icon="table" isOn={isTableOpen} onClick={() => toggle('isTableOpen')} />
      <Toggle
        label={troubles.value.length > 0 ? 'What needs a look: there is something' : 'What needs a look'}
        icon="bell"
        isOn={isAttentionOpen}
        hasMark={troubles.value.length > 0}
        onClick={() => toggle('isAttentionOpen')}
      />
      <Toggle label="Go to where the data is" icon="fit" onClick={() => void fitToData()} />
      <Toggle label="Copy a link to this view" icon="copy" onClick={() => void copyLink(permalink())} />
      <Export />
      <Toggle label={isDark ? 'Light' : 'Dark'} icon={isDark ? 'sun' : 'moon'} onClick={switchTheme} />
      <button class="square" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={openHelp}>
        <span aria-hidden="true">?</span>
      </button>
      {session.value?.credential && (
        <Toggle label={`Log out${session.value.name && ` (${session.value.name})`}`} icon="leave" onClick={leave} />
      )}
    </div>
  );
}

function openHelp(): void {
  isMenuOpen.value = false;
  isHelpOpen.value = true;
}

function leave(): void {
  void logOut();
}

function Toggle(properties: {
  label: string;
  icon: Parameters<typeof Icon>[0]['name'];
  isOn?: boolean;
  hasMark?: boolean;
  onClick: () => void;
}) {
  const { label, icon, isOn, hasMark, onClick } = properties;
  return (
    <button
      class={hasMark ? 'square has-mark' : 'square'}
      aria-label={label}
      title={label}
      aria-pressed={isOn}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}
