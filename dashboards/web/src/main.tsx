/** Starts the page. */

import { render } from 'preact';

import './styles/tokens.css';
import './styles/base.css';
import { App } from './ui/app';
import './styles/bar.css';
import './styles/panels.css';
import './styles/map.css';
import './styles/narrow.css';
import { startSession } from './state/session';
import { keepPage } from './state/store';

keepPage();
const root = document.getElementById('page');
if (!root) throw new Error('`index.html` has an element `page`');
render(<App />, root);
void startSession();
