// HTTP/2 push, which no browser takes: a lane that is drawn from what another client measured.
//
// `poll tail live-page --pattern push` read 300 of the demonstration's messages on one machine; a proxy between it and
// the server counted the bytes of TCP, both ways. The page's test counts them again.

import { Timeline, Track } from './track.js';
import { clock } from './clock.js';
import { copyOf, showBytes, showMs } from './words.js';

export const MEASURED = {
  bytesPerMessage: 289,
  bytesPerIdleHour: 23_900,
  /** Milliseconds at 5, 25, 50, 75 and 95 %. */
  latencies: [1.6, 1.7, 1.8, 2.3, 6.4],
};
/** The same client and messages by a stream, in the same run. */
const STREAM = { bytesPerMessage: 161, median: 1.7 };

const MEDIAN = MEASURED.latencies[2];

export class PushLane {
  key = 'push';
  title = 'HTTP/2 push';
  isRecorded = true;
  latencies = MEASURED.latencies;

  constructor(where) {
    this.view = copyOf('lane');
    this.view.dataset.lane = this.key;
    this.view.querySelector('h3').textContent = this.title;
    this.view.querySelector('.about').textContent = 'Each message promised as a resource. Recorded: browsers have push off.';
    const pill = this.view.querySelector('.pill');
    pill.dataset.state = 'recorded';
    pill.textContent = 'recorded';
    this.view.querySelector('[data-figure=median]').textContent = showMs(MEDIAN);
    this.view.querySelector('[data-figure=messages]').textContent = '–';
    this.view.querySelector('[data-figure=requests]').textContent = '1';
    this.track = new Track(this.view, 'open');
    this.track.wire(true);
    this.timeline = new Timeline(this.view, clock.local());
    where.append(this.view);
  }

  /** A message is known to be there: this is when push would have brought it. */
  play(key) {
    this.track.expect(key, 'hollow');
    setTimeout(() => {
      this.track.arrive(key);
      this.timeline.message(clock.local(), 'hollow');
    }, MEDIAN);
  }
}

export const pushSaid =
  `Measured by the command poll on one machine: ${showMs(MEDIAN)} in the median and ${showBytes(MEASURED.bytesPerMessage)} a message,`
  + ` heads and frames included. A stream in the same run: ${showMs(STREAM.median)} and ${showBytes(STREAM.bytesPerMessage)}.`;
