import type { FullConfig, FullResult, Reporter, Suite, TestCase } from '@playwright/test/reporter';

/** Prints the last line of a run for scripts: `end2end: passed tests=84 failed=0 skipped=0 seconds=97`. */
export default class SummaryReporter implements Reporter {
  private tests: TestCase[] = [];
  private errors = 0;

  onBegin(_config: FullConfig, suite: Suite) {
    this.tests = suite.allTests();
  }

  /** Counts errors outside tests, such as a server that does not stop. */
  onError() {
    this.errors += 1;
  }

  onEnd(result: FullResult) {
    const count = (outcome: string) => this.tests.filter(test => test.outcome() === outcome).length;
    const seconds = Math.round(result.duration / 1000);
    console.log(
      `end2end: ${result.status} tests=${this.tests.length} failed=${count('unexpected')} ` +
        `skipped=${count('skipped')} errors=${this.errors} seconds=${seconds}`,
    );
  }
}
