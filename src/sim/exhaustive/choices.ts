/** Answers every question of a play in each way that there is, one play after another. */
export class Choices {
  /** What was answered in this play so far, and to how many answers there were. */
  readonly #path: { taken: number; readonly of: number }[] = [];
  #at = 0;

  /** A whole number, 0 ≤ n < of. The same questions have to be asked in the same order where the same was answered before. */
  choose(of: number): number {
    if (of <= 1) return 0;
    const known = this.#path[this.#at];
    if (known === undefined) this.#path.push({ taken: 0, of });
    else if (known.of !== of)
      throw new Error(`Cannot repeat a play: question ${this.#at} had ${known.of} answers, and now has ${of}`);
    return (this.#path[this.#at++] as { taken: number }).taken;
  }

  /** The answers of this play, for people and for repeating it; "-" if nothing was asked. */
  toString(): string {
    const taken = this.#path.slice(0, this.#at).map((answer) => answer.taken);
    return taken.length === 0 ? "-" : taken.join("");
  }

  /** On to the next play. False: there is none. */
  next(): boolean {
    this.#at = 0;
    for (let last = this.#path.pop(); last !== undefined; last = this.#path.pop()) {
      if (last.taken + 1 < last.of) {
        this.#path.push({ taken: last.taken + 1, of: last.of });
        return true;
      }
    }
    return false;
  }
}

/** Plays in each way that there is. Returns how many. */
export function explore(play: (choices: Choices) => void): number {
  const choices = new Choices();
  let plays = 0;
  do {
    plays++;
    play(choices);
  } while (choices.next());
  return plays;
}
