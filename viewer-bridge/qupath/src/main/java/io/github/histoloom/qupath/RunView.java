package io.github.histoloom.qupath;

import io.github.histoloom.Progress;

/** Where the user follows a run and can cancel it. */
interface RunView {
    /** Before the run starts, on its thread. */
    void begin();

    /** From any thread. */
    void show(Progress p);

    /** From any thread. */
    boolean cancelled();

    /** From any thread. */
    void close();
}
