package io.github.histoloom.qupath;

import io.github.histoloom.Json;
import io.github.histoloom.Progress;
import io.github.histoloom.Session;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;
import qupath.lib.scripting.QP;

/** What scripts call, with or without windows: the image of the script is the slide, and a job that needs a map takes the newest of it. */
public final class HistoloomScripts {
    private static final Logger LOG = LoggerFactory.getLogger(HistoloomScripts.class);

    private HistoloomScripts() {}

    /** Runs a job; params is its JSON, as recorded in the workflow. Returns the summary of the result as JSON. */
    public static String run(String kind, String params) throws Trouble {
        final ImageData<BufferedImage> image = QP.getCurrentImageData();
        final ServerReader slide = image == null && !Session.needsSlide(kind) ? null : ServerReader.of(image);
        return said(image, Json.object(params), Preferences.session().run(kind, Json.object(params), slide, new Told(kind)));
    }

    /** The same with parameters as a Groovy map. */
    public static String run(String kind, Map<String, ?> params) throws Trouble {
        return run(kind, Json.write(params));
    }

    /** Tiles of the classes that are annotated on the image; params is that of "synth". Returns the summary of the tiles as JSON. */
    public static String generate(String params) throws Trouble {
        final ImageData<BufferedImage> image = QP.getCurrentImageData();
        final ServerReader slide = ServerReader.of(image);
        final var drawn = Objects.classed(image.getHierarchy().getAnnotationObjects(), slide.name());
        return said(image, Json.object(params), Preferences.session().generate(drawn, Json.object(params), slide, new Told("generate")));
    }

    /** Tiles of the map that these parameters of "cluster" make, which need not be the newest and does not become it. */
    public static String tiles(String ofMap, String params) throws Trouble {
        final ServerReader slide = ServerReader.of(QP.getCurrentImageData());
        return said(null, Json.object(params), Preferences.session().tiles(Json.object(ofMap), Json.object(params), slide, new Told("tiles")));
    }

    /** The summary as JSON. The map is shown where image is open; null where none of its maps changed. */
    private static String said(ImageData<BufferedImage> image, Map<String, Object> given, Session.Outcome outcome) {
        if (image != null) {
            Commands.scripted(image, outcome.map());
        }
        if (outcome.result() != null) {
            outcome.result().close();
            if (given.get("out_dir") == null) {
                LOG.info("Histoloom: no files were kept, since no folder is given as \"out_dir\"");
            }
        }
        return Json.write(outcome.summary());
    }

    /** Says each stage in the log; an interrupt cancels. */
    private static final class Told implements Session.Watcher {
        private final String kind;
        private String stage = "";

        Told(String kind) {
            this.kind = kind;
        }

        @Override
        public void progress(Progress p) {
            if (!p.stage().equals(stage)) {
                stage = p.stage();
                LOG.info("Histoloom {}: {}", kind, p.line());
            }
        }

        @Override
        public boolean cancelled() {
            return Thread.currentThread().isInterrupted();
        }
    }

    /** Adds the newest map as annotations under one parent. */
    public static PathObject annotate() throws Trouble {
        return add(false);
    }

    /** Adds the newest map as detections under one parent. */
    public static PathObject detect() throws Trouble {
        return add(true);
    }

    private static PathObject add(boolean detections) throws Trouble {
        final ImageData<BufferedImage> image = QP.getCurrentImageData();
        final ServerReader slide = ServerReader.of(image);
        return Objects.add(image, Preferences.session().map(slide), detections);
    }

    /** The parameter "roi" for some annotations, for instance those of a class. */
    public static List<Object> roi(Collection<? extends PathObject> annotations) throws Trouble {
        return Objects.roi(annotations, ServerReader.of(QP.getCurrentImageData()).name());
    }

    /** What is there and what is missing, as JSON. */
    public static String doctor() throws Trouble {
        return Json.write(Preferences.session().doctor());
    }
}
