package io.github.histoloom;

import java.awt.Graphics2D;
import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;

/** Making tiles: the label map drawn so far, the parameters, the gallery, and what the user keeps of it. */
public final class Synthesis {
    public final TissueMap map;
    public final Form form;
    public final List<Tile> gallery = new ArrayList<>();
    private final Path drawings;
    private BufferedImage canvas;
    private Path folder;

    /** drawings: where drawn label maps are kept, since scripts name them. */
    public Synthesis(TissueMap map, Form form, Path drawings) {
        this.map = map;
        this.form = form;
        this.drawings = drawings;
    }

    /** The drawing, one grey value a class, 0 = background; null while the library chooses places by itself. */
    public BufferedImage canvas() {
        return canvas;
    }

    /** Begins a drawing of one class alone; 0 = background. */
    public void fill(int label) {
        final int side = Json.integer(form.field("size_px").value());
        canvas = new BufferedImage(side, side, BufferedImage.TYPE_BYTE_GRAY);
        Arrays.fill(pixels(), (byte) label);
    }

    /** Begins a drawing with the map as it is at a place of the slide, x and y being its upper left corner. */
    public void fromMap(long x, long y) {
        fill(0);
        final Histoloom.Labels labels = map.labels(x, y, map.downsample, canvas.getWidth(), canvas.getHeight());
        System.arraycopy(labels.data, 0, pixels(), 0, labels.data.length);
    }

    /** Lets the library choose places again. */
    public void noDrawing() {
        canvas = null;
    }

    /** A dab of the brush, in pixels of the drawing. */
    public void brush(int label, double x, double y, double radius) {
        paint(label, new Ellipse2D.Double(x - radius, y - radius, 2 * radius, 2 * radius));
    }

    /** An annotation, in level-0 pixels; (x0, y0) is where the drawing's corner lies on the slide. */
    public void annotation(int label, Shape shape, double x0, double y0) {
        final AffineTransform toCanvas = AffineTransform.getScaleInstance(1 / map.downsample, 1 / map.downsample);
        toCanvas.translate(-x0, -y0);
        paint(label, toCanvas.createTransformedShape(shape));
    }

    private void paint(int label, Shape shape) {
        if (canvas == null) {
            fill(0);
        }
        final BufferedImage mask = new BufferedImage(canvas.getWidth(), canvas.getHeight(), BufferedImage.TYPE_BYTE_GRAY);
        final Graphics2D g = mask.createGraphics(); // grey values go through a colour space, so they are set by hand
        g.fill(shape);
        g.dispose();
        final byte[] inside = ((DataBufferByte) mask.getRaster().getDataBuffer()).getData(), to = pixels();
        for (int i = 0; i < to.length; i++) {
            to[i] = inside[i] == 0 ? to[i] : (byte) label;
        }
    }

    private byte[] pixels() {
        return ((DataBufferByte) canvas.getRaster().getDataBuffer()).getData();
    }

    /** The drawing in legend colours. */
    public BufferedImage drawn() {
        final BufferedImage out = new BufferedImage(canvas.getWidth(), canvas.getHeight(), BufferedImage.TYPE_INT_RGB);
        final byte[] from = pixels();
        for (int i = 0; i < from.length; i++) {
            final int label = from[i] & 255;
            final int rgb = map.classes.stream().filter(c -> c.label() == label).mapToInt(TissueMap.TissueClass::rgb).findFirst().orElse(0xFFFFFF);
            out.setRGB(i % out.getWidth(), i / out.getWidth(), rgb);
        }
        return out;
    }

    /** The class that an annotation's class means: the one of that name, else 0. */
    public int label(String name) {
        return map.classes.stream().filter(c -> c.name().equals(name)).mapToInt(TissueMap.TissueClass::label).findFirst().orElse(0);
    }

    /** The parameters with the drawing. */
    public Map<String, Object> params() throws Trouble {
        final Map<String, Object> out = new LinkedHashMap<>(form.values());
        if (canvas != null) {
            out.put("labels", saved().toString());
            out.remove("at");
        }
        return out;
    }

    private Path saved() throws Trouble {
        final CRC32 sum = new CRC32();
        sum.update(pixels());
        final Path file = drawings.resolve(String.format("labels-%dpx-%08x.png", canvas.getWidth(), sum.getValue()));
        try {
            Files.createDirectories(drawings);
            ImageIO.write(canvas, "png", file.toFile());
        } catch (IOException e) {
            throw Trouble.file("The drawn label map could not be written to " + file, e);
        }
        return file;
    }

    /** Makes tiles and shows them in the gallery, in place of those before. */
    public Session.Outcome make(Session session, RegionReader slide, Session.Watcher watcher) throws Trouble {
        final Session.Outcome outcome = session.run("synth", params(), slide, watcher);
        try (Histoloom.Result result = outcome.result()) {
            gallery.clear();
            folder = outcome.folder();
            for (int i = 0; i < Json.integer(outcome.summary().get("kept")); i++) {
                gallery.add(new Tile(result.tile(i), result.tileJson(i)));
            }
        }
        return outcome;
    }

    /** Copies the accepted tiles as the library wrote them (marked as synthetic, with label maps, flags and seeds), flagged ones apart. */
    public int export(Path to) throws Trouble {
        int copied = 0;
        try {
            final Map<String, Object> manifest = Json.object(Files.readString(folder.resolve("manifest.json")));
            for (String list : List.of("tiles", "flagged")) {
                final List<Object> kept = new ArrayList<>();
                for (Object each : Json.list(manifest.get(list))) {
                    if (accepted(Json.object(each).get("index"))) {
                        copy(Json.object(each), to);
                        kept.add(each);
                        copied++;
                    }
                }
                manifest.put(list, kept);
            }
            Files.createDirectories(to);
            Files.writeString(to.resolve("manifest.json"), Json.write(manifest) + "\n");
        } catch (IOException e) {
            throw Trouble.file("The tiles could not be copied to " + to, e);
        }
        return copied;
    }

    private boolean accepted(Object index) {
        return gallery.stream().anyMatch(t -> t.index == Json.integer(index) && t.accepted);
    }

    private void copy(Map<String, Object> entry, Path to) throws IOException {
        for (Object value : entry.values()) {
            if (value instanceof String && Files.isRegularFile(folder.resolve((String) value))) {
                final Path target = to.resolve((String) value);
                Files.createDirectories(target.getParent());
                Files.copy(folder.resolve((String) value), target, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }
}
