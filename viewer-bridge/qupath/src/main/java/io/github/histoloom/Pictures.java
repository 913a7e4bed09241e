package io.github.histoloom;

import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;

/** Pixels of a viewer in the form and size that the library asked for. */
public final class Pictures {
    private Pictures() {}

    /** The same picture as TYPE_INT_ARGB of this size: viewers round sizes by a pixel. */
    public static BufferedImage fit(BufferedImage from, int width, int height) {
        if (from.getType() == BufferedImage.TYPE_INT_ARGB && from.getWidth() == width && from.getHeight() == height) {
            return from;
        }
        final BufferedImage out = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB);
        final Graphics2D g = out.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
        g.drawImage(from, 0, 0, width, height, null);
        g.dispose();
        return out;
    }
}
