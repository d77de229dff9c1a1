/** Starts the page. */

import { render } from 'preact';

import './styles/tokens.css';
import './styles/base.css';
import { askForKeyIn } from './ui/login';
import { Page } from './ui/page';
import './styles/bar.css';
import './styles/panels.css';
import './styles/map.css';
import './styles/narrow.css';
import { keepPage } from './state/store';

keepPage();
const root = document.getElementById('page');
if (!root) throw new Error('`index.html` has an element `page`');
render(<Page />, root);
void askForKeyIn(root);
