/** How often is looked whether anything has struck. */
const LOOK_MS = 5;

/** When a fault struck for the first time: by the clock of the load, and in requests. */
export interface FirstStrike {
  /** Since the load began; less than 0 before that. */
  readonly ms: number;
  /** Answered by then, as it was seen LOOK_MS before at most. */
  readonly requests: number;
}

/** Some words for a line that tells of it. */
export function timeOf({ ms, requests }: FirstStrike): string {
  if (ms < 0) return `${-ms} ms before the load began`;
  return `${ms} ms into the load, after ${requests} ${requests === 1 ? "request" : "requests"}`;
}

/** Waits for the first strike beside a load that begins now. */
export class StrikeWatch {
  readonly #begunAt = Date.now();
  readonly #strikes: () => readonly number[];
  readonly #requests: () => number;
  readonly #struck: (first: FirstStrike) => void;
  readonly #looking: NodeJS.Timeout;
  #seen = 0;
  #first: FirstStrike | undefined;

  /** `strikes`: by Date.now(); `requests`: answered so far; `struck` is called back once, or never. */
  constructor(strikes: () => readonly number[], requests: () => number, struck: (first: FirstStrike) => void) {
    this.#strikes = strikes;
    this.#requests = requests;
    this.#struck = struck;
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#look();
  }

  get first(): FirstStrike | undefined {
    return this.#first;
  }

  /** Looks once more. */
  end(): void {
    this.#look();
    clearInterval(this.#looking);
  }

  #look(): void {
    if (this.#first !== undefined) return;
    const [at] = this.#strikes();
    if (at === undefined) {
      this.#seen = this.#requests();
      return;
    }
    clearInterval(this.#looking);
    this.#first = { ms: at - this.#begunAt, requests: this.#seen };
    this.#struck(this.#first);
  }
}
