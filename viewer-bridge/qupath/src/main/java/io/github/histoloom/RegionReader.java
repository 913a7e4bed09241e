package io.github.histoloom;

/** A slide as the viewer shows it; {@link #read} takes level-0 pixels and may be called from two threads at once. */
public interface RegionReader extends Histoloom.Reader {
    long width();

    long height();

    /** Downsample of each level, the first 1. */
    double[] downsamples();

    /** Micrometres a level-0 pixel, 0 = unknown. */
    double mpp();

    /** The same from top to bottom. */
    default double mppY() {
        return mpp();
    }

    /** Where the viewer's (0, 0) lies in the file: {x, y} in level-0 pixels, other than 0 where the viewer crops. */
    default long[] origin() {
        return new long[] {0, 0};
    }

    /** For messages, never a path. */
    String name();

    /** The same for the same slide; only its hash is ever written. */
    String id();
}
