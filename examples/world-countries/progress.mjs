// How far we are: a bar on a terminal, a line for every tenth elsewhere.

const WIDTH = 40;

export class Progress {
  constructor(total, what, out = process.stdout) {
    Object.assign(this, { total, what, out, done: 0, started: performance.now() });
  }

  get seconds() {
    return (performance.now() - this.started) / 1_000;
  }

  advance() {
    this.done += 1;
    const rate = Math.round(this.done / Math.max(this.seconds, 1e-3));
    const count = `${String(this.done).padStart(String(this.total).length)}/${this.total} ${this.what}`;
    if (this.out.isTTY) {
      const filled = Math.round((this.done / this.total) * WIDTH);
      const left = Math.ceil((this.total - this.done) / Math.max(rate, 1));
      const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled);
      const end = this.done === this.total ? '\n' : '';
      this.out.write(`\r\x1b[K[${bar}] ${count}, ${rate}/s, ${left} s left${end}`);
    } else if (Math.floor((this.done * 10) / this.total) > Math.floor(((this.done - 1) * 10) / this.total)) {
      this.out.write(`${count}, ${rate}/s\n`);
    }
  }
}
