package io.github.histoloom;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A map of a slide: legend, overlay, regions, and the crops that stand for each class. What it holds is freed once nobody refers to it. */
public final class TissueMap {
    /** A picture of real tissue; index is what the parameter "crops" calls it. */
    public record Crop(int index, Path file) {}

    /** A class of the legend, with the pictures of real tissue shown for it. */
    public record TissueClass(int label, String name, int rgb, double share, List<Crop> crops) {}

    /** A class that was annotated and has no cells; why may be null. */
    public record WithoutCells(String name, String why) {}

    public final String slide, slideId, params;
    public final long width, height;
    public final double cellPx, downsample;
    public final List<TissueClass> classes = new ArrayList<>();
    public final List<WithoutCells> withoutCells = new ArrayList<>();
    final Histoloom.Result result;
    private final Path folder;

    /** folder: where its files are; temporary where the map is the only one to use them. */
    TissueMap(RegionReader slide, Histoloom.Result result, String params, Path folder, boolean temporary) throws IOException {
        this.slide = slide.name();
        slideId = slide.id();
        width = slide.width();
        height = slide.height();
        this.result = result;
        this.params = params;
        this.folder = folder;
        final Map<String, Object> map = Json.object(Json.object(result.json()).get("map"));
        cellPx = Json.number(map.get("cell_px"));
        final double mpp = Json.number(map.get("mpp"));
        downsample = mpp > 0 ? Json.number(map.get("work_mpp")) / mpp : 1;
        final Map<Integer, List<Crop>> crops = crops(folder);
        for (Object each : Json.list(map.get("classes"))) {
            final Map<String, Object> c = Json.object(each);
            final int label = Json.integer(c.get("id"));
            final List<Crop> its = crops.getOrDefault(label, List.of());
            classes.add(new TissueClass(label, (String) c.get("name"), MapRegion.rgb(c.get("color")), Json.number(c.get("share")), its));
        }
        for (Object each : Json.list(map.getOrDefault("without_cells", List.of()))) {
            final Map<String, Object> c = Json.object(each);
            withoutCells.add(new WithoutCells((String) c.get("name"), (String) c.get("reason")));
        }
        if (temporary) {
            Histoloom.CLEANER.register(this, () -> Session.delete(folder));
        }
    }

    /** By class, in the order of map.json, which is that of their indices; files are numbered within a class. */
    private static Map<Integer, List<Crop>> crops(Path folder) throws IOException {
        final Map<Integer, List<Crop>> out = new HashMap<>();
        int index = 0;
        for (Object each : Json.list(Json.object(Files.readString(folder.resolve("map.json"))).get("crops"))) {
            final int label = Json.integer(Json.object(each).get("class"));
            final List<Crop> its = out.computeIfAbsent(label, l -> new ArrayList<>());
            its.add(new Crop(index++, folder.resolve(String.format(Locale.ROOT, "crops/class_%02d_%d.png", label, its.size() + 1))));
        }
        return out;
    }

    /** Legend colours of a part of the slide at any zoom, transparent where there is no tissue. */
    public BufferedImage overlay(long x, long y, double downsample, int width, int height) {
        return result.overlay(x, y, downsample, width, height);
    }

    public Histoloom.Labels labels() {
        return result.labels();
    }

    public Histoloom.Labels labels(long x, long y, double downsample, int width, int height) {
        return result.labels(x, y, downsample, width, height);
    }

    /** The class at a level-0 pixel, null where there is none. */
    public TissueClass at(double x, double y) {
        final int label = result.labels((long) x, (long) y, 1, 1, 1).data[0] & 255;
        return classes.stream().filter(c -> c.label() == label).findFirst().orElse(null);
    }

    /** A region a class, for annotations. */
    public List<MapRegion> regions() {
        return MapRegion.parse(result.geojson());
    }

    /** The page to look at, null where it is not there any more. */
    public Path report() {
        return Session.report(folder);
    }

    public String summary() {
        return result.json();
    }

    /** How sure the library is of k, which device it used, and what else it wants to say. */
    public List<String> notes() {
        final List<String> out = new ArrayList<>();
        for (Object note : Json.list(Json.object(result.json()).getOrDefault("notes", List.of()))) {
            out.add(String.valueOf(note));
        }
        return out;
    }
}
