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
    private static final int CELL_PX = 32, FRAME_RGB = 0xD55E00;
    private static final BasicStroke CELL = new BasicStroke(2);
    private static final BasicStroke WHOLE = new BasicStroke(4, BasicStroke.CAP_BUTT, BasicStroke.JOIN_MITER, 10, new float[] {8}, 0);

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

    /** The tile with its flagged cells framed, and a dashed frame around it where a flag means all of it. */
    public BufferedImage drawn() {
        final int w = image.getWidth(), h = image.getHeight();
        final BufferedImage out = new BufferedImage(w, h, BufferedImage.TYPE_INT_RGB);
        final Graphics2D g = out.createGraphics();
        g.drawImage(image, 0, 0, null);
        g.setColor(new Color(FRAME_RGB));
        for (Flag f : flags) {
            g.setStroke(f.cell() == null ? WHOLE : CELL);
            if (f.cell() == null) {
                g.drawRect(2, 2, w - 4, h - 4);
            } else {
                g.drawRect(f.cell()[1] * CELL_PX + 1, f.cell()[0] * CELL_PX + 1, CELL_PX - 3, CELL_PX - 3);
            }
        }
        g.dispose();
        return out;
    }

    /** Why it is flagged, a sentence a kind of flag; first, whether anybody knows how much the flags miss. */
    public Set<String> reasons() {
        final Set<String> out = new LinkedHashSet<>();
        out.add(Report.calibrated(calibrated));
        flags.forEach(f -> out.add(f.reason()));
        if (flags.isEmpty()) {
            out.add("Not flagged, which is not verified.");
        }
        return out;
    }
}
