/** Where listeners of one configuration are to listen: two on one port or path, and the second could not open. */
export class TakenPlaces {
  readonly #takers = new Map<string, string>();

  /** `place`: HOST:PORT or a socket's path. `who` is for a person. Answers why it can't have the place, where it can't. */
  take(place: string, who: string): string | undefined {
    const other = this.#takers.get(place);
    if (other !== undefined) return `${who} would listen where ${other} does already, on ${place}: choose another`;
    this.#takers.set(place, who);
    return undefined;
  }
}
