package io.github.histoloom;

import java.awt.Graphics2D;
import java.awt.Rectangle;
import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.image.BufferedImage;

/** Draws a map over its slide, in level-0 pixels. What is seen of it is read from the library, and kept until another part or zoom is seen. */
public final class MapPainter {
    /** Cells (or pixels, where those are larger) as they were drawn last. */
    private record Drawn(TissueMap map, Rectangle cells, double scale, BufferedImage picture) {}

    private volatile Drawn last;

    /** The clip tells what is seen. Zoomed in, one pixel a cell is read and magnified as it is drawn: cells are squares, and few are seen. */
    public void paint(Graphics2D g, TissueMap map, double downsample) {
        final double scale = Math.max(downsample, map.cellPx);
        final Rectangle cells = seen(g.getClip(), map, scale);
        if (cells.isEmpty()) {
            return;
        }
        Drawn d = last;
        if (d == null || d.map() != map || d.scale() != scale || !d.cells().equals(cells)) {
            final long x = Math.round(cells.x * scale), y = Math.round(cells.y * scale);
            d = new Drawn(map, cells, scale, map.overlay(x, y, scale, cells.width, cells.height));
            last = d;
        }
        final AffineTransform to = AffineTransform.getScaleInstance(scale, scale);
        to.translate(cells.x, cells.y);
        g.drawImage(d.picture(), to, null);
    }

    public void forget() {
        last = null;
    }

    /** What of the map is seen, in squares of a side of scale level-0 pixels. */
    static Rectangle seen(Shape clip, TissueMap map, double scale) {
        final Rectangle whole = new Rectangle(0, 0, (int) map.width, (int) map.height);
        final Rectangle part = clip == null ? whole : clip.getBounds().intersection(whole);
        final int x = (int) Math.floor(part.x / scale), y = (int) Math.floor(part.y / scale);
        final int right = (int) Math.ceil((part.x + part.width) / scale), bottom = (int) Math.ceil((part.y + part.height) / scale);
        return part.isEmpty() ? new Rectangle() : new Rectangle(x, y, right - x, bottom - y);
    }
}
