/** All there is to see: the page, or the login in its place where the server does not know who asks. */

import { shut } from '../state/session';
import { Login } from './login';
import { Page } from './page';

export function App() {
  return shut.value ? <Login why={shut.value} /> : <Page />;
}
