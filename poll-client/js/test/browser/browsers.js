// The browser that the tests drive: Chromium, or Firefox if POLL_BROWSER says so.

import { Chromium } from './chromium.js';
import { Firefox } from './firefox.js';

export const Browser = process.env.POLL_BROWSER === 'firefox' ? Firefox : Chromium;
