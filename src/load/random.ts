/** Choices that are the same for the same seed: xorshift32 (Marsaglia, "Xorshift RNGs"), one for each lane of a load. */
export class LoadRandom {
  #state: number;

  /** `stream`: which of several generators of one seed. */
  constructor(seed: number, stream: number) {
    // Neighbours are to have nothing in common, and the state must not be 0.
    this.#state = (Math.imul(seed ^ (seed / 0x1_0000_0000), 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  /** A whole number, 0 ≤ n < bound, and bound ≤ 2³². */
  below(bound: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return Math.floor((this.#state / 0x1_0000_0000) * bound);
  }
}
