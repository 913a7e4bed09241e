package io.github.histoloom.qupath;

import io.github.histoloom.TissueMap;
import java.awt.AlphaComposite;
import java.awt.Composite;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.gui.viewer.overlays.AbstractOverlay;
import qupath.lib.images.ImageData;
import qupath.lib.regions.ImageRegion;

/** The map over the slide, drawn from the library for what is on the screen; while a run goes on, the picture so far. */
final class MapOverlay extends AbstractOverlay {
    private static final int MOST_PX = 4096;
    private final QuPathViewer viewer;
    private final ImageData<BufferedImage> image;
    private volatile BufferedImage partial;
    private volatile TissueMap map;

    MapOverlay(QuPathViewer viewer, ImageData<BufferedImage> image) {
        super(viewer.getOverlayOptions());
        this.viewer = viewer;
        this.image = image;
        setOpacity(0.5);
        setLocationStringFunction((data, x, y, z, t) -> {
            final TissueMap of = map;
            final TissueMap.TissueClass at = of == null || data != image ? null : of.at(x, y);
            return at == null ? null : at.name();
        });
    }

    ImageData<BufferedImage> image() {
        return image;
    }

    /** Whether the run it was made for has ended well. */
    boolean done() {
        return map != null;
    }

    void show(BufferedImage picture) {
        partial = picture;
        viewer.repaint();
    }

    void show(TissueMap made) {
        map = made;
        viewer.repaint();
    }

    void repaint() {
        viewer.repaint();
    }

    /** Before the map is closed. */
    void hide() {
        map = null;
        partial = null;
        viewer.getCustomOverlayLayers().remove(this);
        viewer.repaint();
    }

    @Override
    public void paintOverlay(Graphics2D g, ImageRegion region, double downsample, ImageData<BufferedImage> data, boolean paintCompletely) {
        final TissueMap drawn = map;
        if (!isVisible() || data != image || region == null) {
            return;
        }
        final Composite before = g.getComposite();
        g.setComposite(AlphaComposite.getInstance(AlphaComposite.SRC_OVER, (float) getOpacity()));
        if (drawn != null) {
            final int x = Math.max(0, region.getX()), y = Math.max(0, region.getY());
            final int w = region.getX() + region.getWidth() - x, h = region.getY() + region.getHeight() - y;
            final double scale = Math.max(Math.max(1, downsample), Math.max(w, h) / (double) MOST_PX);
            final int columns = (int) Math.ceil(w / scale), rows = (int) Math.ceil(h / scale);
            if (columns > 0 && rows > 0) {
                final BufferedImage part = drawn.overlay(x, y, scale, columns, rows);
                g.drawImage(part, x, y, (int) Math.round(columns * scale), (int) Math.round(rows * scale), null);
            }
        } else if (partial != null) {
            g.drawImage(partial, 0, 0, data.getServer().getWidth(), data.getServer().getHeight(), null);
        }
        g.setComposite(before);
    }
}
