package io.github.histoloom;

import java.awt.BasicStroke;
import java.awt.Graphics2D;
import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.geom.Line2D;
import java.awt.geom.Point2D;
import java.awt.geom.Rectangle2D;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.imageio.ImageIO;

/** Making tiles: the label map drawn so far, the parameters, the gallery, and what the user keeps of it. */
public final class Synthesis {
    /** Crops of a class that the library can be shown at once. */
    private static final int MOST_CROPS = 2;

    /** A region of one class, in level-0 pixels. */
    public record Area(int label, Shape shape) {}

    /** What a run made: tiles, and the run, whose folder is there as long as somebody refers to it. */
    public record Gallery(List<Tile> tiles, Session.Outcome run) {}

    public final TissueMap map;
    public final Form form;
    private final Drawings drawings;
    private final Map<Integer, List<Object>> crops = new TreeMap<>();
    private BufferedImage canvas;
    private Point2D corner;
    private Gallery gallery = new Gallery(List.of(), null);

    public Synthesis(TissueMap map, Form form, Drawings drawings) {
        this.map = map;
        this.form = form;
        this.drawings = drawings;
    }

    /** The drawing, one grey value a class, 0 = background; null while the library chooses places by itself. */
    public BufferedImage canvas() {
        return canvas;
    }

    /** The tiles shown; the newest run's. */
    public List<Tile> gallery() {
        return gallery.tiles();
    }

    public void show(Gallery made) {
        gallery = made;
    }

    /** The page of the tiles shown, null where there is none. */
    public Path report() {
        return gallery.run() == null ? null : gallery.run().report();
    }

    /** The crops chosen for a class: indices of the map's, or files; none where the library chooses. */
    public List<Object> crops(int label) {
        return crops.getOrDefault(label, List.of());
    }

    /** Chooses a crop (the index of one of the map's, or a PNG file), or takes it back; of too many the first goes. */
    public void chooseCrop(int label, Object crop) {
        final List<Object> its = crops.computeIfAbsent(label, l -> new ArrayList<>());
        if (!its.remove(crop)) {
            its.add(crop);
        }
        if (its.size() > MOST_CROPS) {
            its.remove(0);
        }
        crops.values().removeIf(List::isEmpty);
    }

    /** Begins a drawing of one class alone; 0 = background. */
    public void fill(int label) {
        corner = null;
        final int side = Json.integer(form.field("size_px").value());
        canvas = new BufferedImage(side, side, BufferedImage.TYPE_BYTE_GRAY);
        Arrays.fill(pixels(), (byte) label);
    }

    /** Begins a drawing with the map as it is at a place of the slide, x and y being its upper left corner. */
    public void fromMap(long x, long y) {
        fill(0);
        final Histoloom.Labels labels = map.labels(x, y, map.downsample, canvas.getWidth(), canvas.getHeight());
        System.arraycopy(labels.data, 0, pixels(), 0, labels.data.length);
        corner = new Point2D.Double(x, y);
    }

    /** The same with the place in the middle, as a viewer shows it. */
    public void fromMapAround(double x, double y) {
        final double half = Json.number(form.field("size_px").value()) * map.downsample / 2;
        fromMap(Math.max(0, Math.round(x - half)), Math.max(0, Math.round(y - half)));
    }

    /** Lets the library choose places again. */
    public void noDrawing() {
        canvas = null;
    }

    /** A stroke of the brush from one point to another, or a dab where they are the same; in pixels of the drawing. */
    public void brush(int label, double x0, double y0, double x, double y, double radius) {
        final BasicStroke round = new BasicStroke((float) (2 * radius), BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND);
        paint(label, round.createStrokedShape(new Line2D.Double(x0, y0, x, y)));
    }

    /** The same where the drawing is shown with that side, in pixels of what is shown; without a drawing one begins. */
    public void brushShown(double side, int label, double x0, double y0, double x, double y, double radius) {
        if (canvas == null) {
            fill(0);
        }
        final double scale = canvas.getWidth() / side;
        brush(label, x0 * scale, y0 * scale, x * scale, y * scale, radius * scale);
    }

    /** Annotations: where the drawing lies on the slide since it began with the map there, else with their upper left corner in its own. */
    public void annotations(List<Area> areas) {
        final Rectangle2D all = areas.stream().map(a -> a.shape().getBounds2D()).reduce(Rectangle2D::createUnion).orElseThrow();
        final Point2D at = corner == null ? new Point2D.Double(all.getX(), all.getY()) : corner;
        final AffineTransform toCanvas = AffineTransform.getScaleInstance(1 / map.downsample, 1 / map.downsample);
        toCanvas.translate(-at.getX(), -at.getY());
        areas.forEach(a -> paint(a.label(), toCanvas.createTransformedShape(a.shape())));
        corner = at;
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
        final int[] colours = new int[256];
        Arrays.fill(colours, 0xFFFFFF);
        map.classes.forEach(c -> colours[c.label()] = c.rgb());
        final byte[] from = pixels();
        for (int i = 0; i < from.length; i++) {
            out.setRGB(i % out.getWidth(), i / out.getWidth(), colours[from[i] & 255]);
        }
        return out;
    }

    /** An annotation: its class is the map's of that name, or the one chosen where none has it; name may be null. */
    public Area area(String name, int chosen, Shape shape) {
        final int label = map.classes.stream().filter(c -> c.name().equals(name)).mapToInt(TissueMap.TissueClass::label).findFirst().orElse(chosen);
        return new Area(label, shape);
    }

    /** The parameters with the drawing. */
    public Map<String, Object> params() throws Trouble {
        final Map<String, Object> out = new LinkedHashMap<>(form.values());
        if (canvas != null) {
            if (!Long.valueOf(canvas.getWidth()).equals(form.field("size_px").value())) {
                throw Trouble.parameter("The drawing is " + canvas.getWidth() + " px wide, the tile " + form.field("size_px").text()
                    + ". Begin another drawing (Fill, Map here) or set the size back.");
            }
            out.put("labels", saved().toString());
            out.remove("at");
        }
        if (!crops.isEmpty()) {
            out.put("crops", crops);
        }
        return out;
    }

    private Path saved() throws Trouble {
        final ByteArrayOutputStream png = new ByteArrayOutputStream();
        try {
            ImageIO.write(canvas, "png", png);
        } catch (IOException e) {
            throw Trouble.file("The drawn label map could not be written", e);
        }
        return drawings.keep("labels-" + canvas.getWidth() + "px", "png", png.toByteArray());
    }

    /** The tiles of a run that made some; on any thread, {@link #show} then on that of the windows. */
    public static Gallery tiles(Session.Outcome outcome) {
        final List<Tile> out = new ArrayList<>();
        try (Histoloom.Result result = outcome.result()) {
            for (int i = 0; i < Json.integer(outcome.summary().get("kept")); i++) {
                out.add(new Tile(result.tile(i), result.tileJson(i)));
            }
        }
        return new Gallery(out, outcome);
    }

    /** Copies the accepted tiles as the library wrote them (marked as synthetic, with label maps, flags and seeds), flagged ones apart. */
    public int export(Path to) throws Trouble {
        int copied = 0;
        if (Files.exists(to.resolve("manifest.json"))) {
            throw Trouble.parameter(to + " holds tiles already, which would be lost. Choose another folder.");
        }
        try {
            final Map<String, Object> manifest = Json.object(Files.readString(gallery.run().folder().resolve("manifest.json")));
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
        return gallery().stream().anyMatch(t -> t.index == Json.integer(index) && t.accepted);
    }

    private void copy(Map<String, Object> entry, Path to) throws IOException {
        for (Object value : entry.values()) {
            final Path folder = gallery.run().folder();
            if (value instanceof String && Files.isRegularFile(folder.resolve((String) value))) {
                final Path target = to.resolve((String) value);
                Files.createDirectories(target.getParent());
                Files.copy(folder.resolve((String) value), target, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }
}
