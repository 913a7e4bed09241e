package io.github.histoloom;

import java.nio.charset.StandardCharsets;

/** How far a run is: fraction of the stage, -1 = unknown; seconds until the stage ends, -1 = unknown. */
public record Progress(String stage, double fraction, double itemsPerSecond, double etaSeconds, long done, long total) {
    static Progress of(Histoloom.Progress p) {
        int end = 0;
        while (end < p.stage.length && p.stage[end] != 0) {
            end++;
        }
        final String stage = p.state == 0 ? "waiting" : new String(p.stage, 0, end, StandardCharsets.UTF_8);
        return new Progress(stage, p.fraction, p.items_per_s, p.eta_s, p.done, p.total);
    }

    /** For instance "embed: 12 of 40, 3.1 a second, about 9 s left in this step"; how many steps follow, nobody knows. */
    public String line() {
        return etaSeconds >= 0 ? brief() + " in this step" : brief();
    }

    /** The same where it is said elsewhere that the time is the step's. */
    public String brief() {
        final StringBuilder out = new StringBuilder(stage);
        if (total > 0) {
            out.append(": ").append(done).append(" of ").append(total);
        }
        if (itemsPerSecond > 0) {
            out.append(String.format(", %.1f a second", itemsPerSecond));
        }
        if (etaSeconds >= 0) {
            final long s = Math.round(etaSeconds);
            out.append(", about ").append(s < 100 ? s + " s" : (s + 30) / 60 + " min").append(" left");
        }
        return out.toString();
    }
}
