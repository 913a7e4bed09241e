package io.github.histoloom.qupath;

import io.github.histoloom.Histoloom;
import io.github.histoloom.MapPainter;
import io.github.histoloom.TissueMap;
import java.awt.AlphaComposite;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.gui.viewer.overlays.AbstractOverlay;
import qupath.lib.images.ImageData;
import qupath.lib.regions.ImageRegion;

/**
 * The map over its slide, drawn from the library for what is on the screen; while a run goes on, the picture so far. One a slide: what a run shows
 * goes with the run, and the newest map stays. It stays in the viewer when another slide is shown there and draws nothing then.
 */
final class MapOverlay extends AbstractOverlay {
    private record SoFar(Object run, BufferedImage picture) {}

    private final QuPathViewer viewer;
    private final String slideId;
    private final MapPainter painter = new MapPainter();
    private volatile SoFar soFar;
    private volatile TissueMap map;
    private volatile boolean hidden;

    MapOverlay(QuPathViewer viewer, String slideId) {
        super(viewer.getOverlayOptions());
        this.viewer = viewer;
        this.slideId = slideId;
        setOpacity(0.5);
        setLocationStringFunction((data, x, y, z, t) -> {
            final TissueMap.TissueClass at = map == null || !of(data) ? null : at(map, x, y);
            return at == null ? null : at.name();
        });
        viewer.getCustomOverlayLayers().add(this);
    }

    private static TissueMap.TissueClass at(TissueMap map, double x, double y) {
        try {
            return map.at(x, y);
        } catch (Histoloom.Failure e) { // the settings were applied anew this very moment
            return null;
        }
    }

    boolean isIn(QuPathViewer other) {
        return viewer == other;
    }

    private boolean of(ImageData<BufferedImage> data) {
        return data != null && data.getServer().getPath().equals(slideId);
    }

    /** What a run has so far. */
    void show(Object run, BufferedImage picture) {
        soFar = new SoFar(run, picture);
        viewer.repaint();
    }

    /** A run has ended; what it made, or null. */
    void ended(Object run, TissueMap made) {
        if (made != null) {
            map = made;
        }
        if (soFar != null && soFar.run() == run) {
            soFar = null;
        }
        viewer.repaint();
    }

    @Override
    public boolean isVisible() {
        return !hidden && super.isVisible();
    }

    void show(boolean visible) {
        hidden = !visible;
        viewer.repaint();
    }

    void repaint() {
        viewer.repaint();
    }

    /** For good. */
    void remove() {
        map = null;
        soFar = null;
        painter.forget();
        viewer.getCustomOverlayLayers().remove(this);
        viewer.repaint();
    }

    /** region is the whole slide, whatever is seen of it; that the clip tells. */
    @Override
    public void paintOverlay(Graphics2D g, ImageRegion region, double downsample, ImageData<BufferedImage> data, boolean paintCompletely) {
        final TissueMap drawn = map;
        final SoFar now = soFar;
        if (!isVisible() || !of(data)) {
            return;
        }
        final Graphics2D own = (Graphics2D) g.create();
        own.setComposite(AlphaComposite.getInstance(AlphaComposite.SRC_OVER, (float) getOpacity()));
        own.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_NEAREST_NEIGHBOR);
        if (now != null) {
            own.drawImage(now.picture(), 0, 0, data.getServer().getWidth(), data.getServer().getHeight(), null);
        } else if (drawn != null) {
            try {
                painter.paint(own, drawn, downsample);
            } catch (Histoloom.Failure e) {
                // the settings were applied anew this very moment; nothing is drawn
            }
        }
        own.dispose();
    }
}
