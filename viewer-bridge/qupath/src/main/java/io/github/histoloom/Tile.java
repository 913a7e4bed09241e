package io.github.histoloom;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A synthetic tile of the gallery with its flags. Not flagged is never verified. */
public final class Tile {
    private static final int CELL_PX = 32;

    /** cell is {row, column} of cells of 32 px, or null where the whole tile is meant. */
    public record Flag(String code, String reason, int[] cell) {}

    public final int index;
    public final BufferedImage image;
    public final boolean calibrated;
    public final List<Flag> flags = new ArrayList<>();
    /** What the user decided; at first flagged tiles are out. */
    public boolean accepted;

    Tile(BufferedImage image, String json) {
        this.image = image;
        final Map<String, Object> tile = Json.object(json);
        this.index = Json.integer(tile.get("index"));
        calibrated = Boolean.TRUE.equals(tile.get("calibrated"));
        for (Object each : Json.list(tile.get("flags"))) {
            final Map<String, Object> f = Json.object(each);
            final List<Object> cell = f.get("cell") == null ? null : Json.list(f.get("cell"));
            final int[] at = cell == null ? null : new int[] {Json.integer(cell.get(0)), Json.integer(cell.get(1))};
            flags.add(new Flag((String) f.get("code"), (String) f.get("reason"), at));
        }
        accepted = flags.isEmpty();
    }

    /** The tile with its flagged cells framed. */
    public BufferedImage drawn() {
        final BufferedImage out = new BufferedImage(image.getWidth(), image.getHeight(), BufferedImage.TYPE_INT_RGB);
        final Graphics2D g = out.createGraphics();
        g.drawImage(image, 0, 0, null);
        g.setColor(new Color(0xD55E00));
        g.setStroke(new BasicStroke(2));
        for (Flag f : flags) {
            if (f.cell() != null) {
                g.drawRect(f.cell()[1] * CELL_PX + 1, f.cell()[0] * CELL_PX + 1, CELL_PX - 3, CELL_PX - 3);
            }
        }
        g.dispose();
        return out;
    }

    /** A line a kind of flag. */
    public Set<String> reasons() {
        final Set<String> out = new LinkedHashSet<>();
        flags.forEach(f -> out.add(f.code() + ": " + f.reason()));
        if (out.isEmpty()) {
            out.add("not flagged, which is not verified");
        }
        return out;
    }
}
