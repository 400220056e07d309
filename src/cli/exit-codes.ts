/** What a command's exit code says: 0 done, 1 failed, 2 used wrongly. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** The name of the error that says that nobody reads what a command prints any more, as after `| head`: it ends at once and says nothing. */
export const OUTPUT_ENDED = "OutputEnded";
