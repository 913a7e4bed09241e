package io.github.histoloom.qupath;

import io.github.histoloom.Form;
import io.github.histoloom.Histoloom;
import io.github.histoloom.Outlines;
import io.github.histoloom.Progress;
import io.github.histoloom.Report;
import io.github.histoloom.Script;
import io.github.histoloom.Session;
import io.github.histoloom.Synthesis;
import io.github.histoloom.TissueMap;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.io.File;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import javafx.application.Platform;
import javafx.scene.control.CheckBox;
import javafx.stage.Window;
import qupath.fx.dialogs.Dialogs;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.images.ImageData;
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep;

/** What the menu items do. Runs go on in the background; all else is on the thread of the windows. */
final class Commands {
    static final String TITLE = "Histoloom";
    /** Filled by the viewer, or of no use in a dialog. */
    private static final Set<String> BY_THE_VIEWER = Set.of("roi", "viewport", "skip_done", "edits", "at", "labels", "regions", "first");

    /** Something that may have to say why it cannot be done. */
    interface Command {
        void run() throws Trouble;
    }

    /** What makes an outcome, on a background thread. */
    interface Work {
        Session.Outcome run(Session session, ServerReader slide, Session.Watcher watcher) throws Trouble;
    }

    private final QuPathGUI qupath;
    /** By slide, those used last at the end. */
    private final Map<String, MapOverlay> overlays = new LinkedHashMap<>();

    Commands(QuPathGUI qupath) {
        this.qupath = qupath;
    }

    static void orSay(Command command) {
        try {
            command.run();
        } catch (Trouble t) {
            say(t);
        } catch (Histoloom.Failure e) { // a map of a session that was closed
            say(Trouble.of(e, null));
        }
    }

    private static void say(Trouble t) {
        if (t.kind == Trouble.Kind.CANCELLED) {
            Dialogs.showInfoNotification(TITLE, t.getMessage());
        } else {
            Dialogs.showErrorMessage(TITLE, t.getMessage());
        }
    }

    Window window() {
        return qupath.getStage();
    }

    /** The open image; the trouble says that none is. */
    ImageData<BufferedImage> image() throws Trouble {
        ServerReader.of(qupath.getImageData());
        return qupath.getImageData();
    }

    void cluster() throws Trouble {
        map("Cluster slide", Preferences.session().form("cluster"), Set.of("atlas", "encoder"));
    }

    void atlas() throws Trouble {
        final Session session = Preferences.session();
        final Form form = session.form("cluster");
        final File shipped = new File(session.modelsDir() == null ? "" : session.modelsDir(), "he_atlas.json");
        form.put("atlas", shipped.isFile() ? shipped.getPath() : null);
        form.field("k").set("0");
        map("Apply atlas", form, Set.of());
    }

    private void map(String title, Form form, Set<String> leftOut) throws Trouble {
        final ImageData<BufferedImage> image = image();
        final CheckBox selected = new CheckBox("Only the selected annotations");
        final boolean any = !Objects.shapes(image.getHierarchy().getSelectionModel().getSelectedObjects()).isEmpty();
        selected.setSelected(any);
        final Set<String> hidden = new HashSet<>(BY_THE_VIEWER);
        hidden.addAll(leftOut);
        if (!FormDialog.show(window(), title, form, selected, hidden)) {
            return;
        }
        if (title.equals("Apply atlas") && form.field("atlas").value() == null) {
            throw Trouble.parameter("No atlas is given. Choose an atlas file; one for haematoxylin and eosin comes with the models (he_atlas.json).");
        }
        if (selected.isSelected()) {
            form.put("roi", Objects.roi(image.getHierarchy().getSelectionModel().getSelectedObjects(), ServerReader.of(image).name()));
        }
        final Map<String, Object> params = form.values();
        if (title.equals("Apply atlas") && Long.valueOf(0).equals(form.field("k").value())) {
            params.remove("k");
        }
        final MapOverlay overlay = overlay(ServerReader.of(image).id());
        run(title, image, overlay, (session, slide, watcher) -> session.run("cluster", params, slide, watcher), outcome -> {
            LegendWindow.show(window(), outcome.map(), overlay, detections -> orSay(() -> add(image, outcome.map(), detections)));
        });
    }

    private static void add(ImageData<BufferedImage> image, TissueMap map, boolean detections) {
        Objects.add(image, map, detections);
        image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep("Histoloom: map as objects", Script.objects(detections)));
    }

    /** The overlay of a slide in the viewer that is used; those of slides whose maps are not kept any more go. */
    private MapOverlay overlay(String slideId) {
        MapOverlay overlay = overlays.remove(slideId);
        if (overlay == null || !overlay.isIn(qupath.getViewer())) {
            if (overlay != null) {
                overlay.remove();
            }
            overlay = new MapOverlay(qupath.getViewer(), slideId);
        }
        overlay.show(true);
        overlays.put(slideId, overlay);
        if (overlays.size() > Session.MOST_MAPS) {
            overlays.remove(overlays.keySet().iterator().next()).remove();
        }
        return overlay;
    }

    /** Runs work in the background with progress and cancel, records the step, and hands the outcome over on the windows' thread. */
    void run(String title, ImageData<BufferedImage> image, Work work, Consumer<Session.Outcome> then) throws Trouble {
        run(title, image, null, work, then);
    }

    /** over shows what the run has so far, and the map it makes; null where it makes none. */
    private void run(String title, ImageData<BufferedImage> image, MapOverlay over, Work work, Consumer<Session.Outcome> then) throws Trouble {
        final Session session = Preferences.session();
        final ServerReader slide = image == null ? null : ServerReader.of(image);
        final ProgressWindow progress = new ProgressWindow(window(), title);
        final Session.Watcher watcher = new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                progress.show(p);
            }

            @Override
            public void partial(BufferedImage picture) {
                if (over != null) {
                    Platform.runLater(() -> over.show(progress, picture));
                }
            }

            @Override
            public boolean cancelled() {
                return progress.cancelled();
            }
        };
        final Thread thread = new Thread(() -> {
            try {
                final Session.Outcome outcome = work.run(session, slide, watcher);
                Platform.runLater(() -> {
                    ended(progress, over, outcome.map());
                    if (image != null) {
                        final String step = "Histoloom: " + outcome.kind();
                        image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep(step, outcome.script()));
                    }
                    then.accept(outcome);
                });
            } catch (Trouble t) {
                Platform.runLater(() -> {
                    ended(progress, over, null);
                    say(t);
                });
            } catch (RuntimeException | Error e) {
                Platform.runLater(() -> {
                    ended(progress, over, null);
                    Dialogs.showErrorMessage(TITLE, e);
                });
            }
        }, "histoloom-run");
        thread.setDaemon(true);
        thread.start();
    }

    /** The window stands for its run. */
    private static void ended(ProgressWindow progress, MapOverlay over, TissueMap made) {
        progress.close();
        if (over != null) {
            over.ended(progress, made);
        }
    }

    /** The newest map of the open slide. */
    private TissueMap newest() throws Trouble {
        return Preferences.session().map(ServerReader.of(qupath.getImageData()));
    }

    void tile() throws Trouble {
        final ImageData<BufferedImage> image = image();
        final Form form = Preferences.session().form("synth");
        new SynthesisWindow(this, image, new Synthesis(newest(), form, Preferences.work().resolve("drawings"))).show();
    }

    void dataSet() throws Trouble {
        final ImageData<BufferedImage> image = image();
        final Form form = Preferences.session().form("synth");
        form.set("n", "100");
        if (!FormDialog.show(window(), "Synthesise data set", form, null, BY_THE_VIEWER)) {
            return;
        }
        if (form.field("from").value() == null) {
            newest();
        }
        if (form.field("out_dir").value() == null) {
            throw Trouble.parameter("No folder for the tiles is given. Choose one as \"Output folder\".");
        }
        run("Synthesise data set", image, (session, slide, watcher) -> session.run("synth", form.values(), slide, watcher), this::summary);
    }

    void generate() throws Trouble {
        final ImageData<BufferedImage> image = image();
        final ServerReader open = ServerReader.of(image);
        final List<Outlines.Annotated> drawn = Objects.classed(image.getHierarchy().getAnnotationObjects(), open.name());
        final Form form = Preferences.session().form("synth");
        form.set("n", "100");
        final Set<String> hidden = new HashSet<>(BY_THE_VIEWER);
        hidden.add("from");
        if (!FormDialog.show(window(), "Generate from annotations", form, null, hidden)) {
            return;
        }
        if (form.field("out_dir").value() == null) {
            throw Trouble.parameter("No folder for the tiles is given. Choose one as \"Output folder\".");
        }
        final Map<String, Object> params = form.values();
        run("Generate from annotations", image, overlay(open.id()),
            (session, slide, watcher) -> session.generate(drawn, params, slide, watcher), this::summary);
    }

    void summary(Session.Outcome outcome) {
        Pages.text(window(), "Histoloom: " + outcome.kind(), Report.summary(outcome.summary()));
        if (outcome.result() != null) {
            outcome.result().close();
        }
    }

    void flags() throws Trouble {
        FlagsWindow.show(this, qupath.getImageData());
    }

    /** A form of a job kind, run; image may be null where the kind needs none. */
    void job(String title, String kind, ImageData<BufferedImage> image) throws Trouble {
        if (Session.needsSlide(kind)) {
            ServerReader.of(image);
        }
        final Form form = Preferences.session().form(kind);
        if (FormDialog.show(window(), title, form, null, BY_THE_VIEWER)) {
            final ImageData<BufferedImage> on = Session.needsSlide(kind) ? image : null;
            run(title, on, (session, slide, watcher) -> session.run(kind, form.values(), slide, watcher), this::summary);
        }
    }

    void models() throws Trouble {
        new ModelsWindow(this).show();
    }

    void doctor() {
        final Thread thread = new Thread(() -> orSayLater(() -> {
            final Session session = Preferences.session();
            final String text = Report.doctor(session.doctor(), session.modelsDir());
            Platform.runLater(() -> Pages.text(window(), "Histoloom: doctor", text));
        }), "histoloom-doctor");
        thread.setDaemon(true);
        thread.start();
    }

    private static void orSayLater(Command command) {
        try {
            command.run();
        } catch (Trouble t) {
            Platform.runLater(() -> say(t));
        } catch (RuntimeException | Error e) {
            Platform.runLater(() -> Dialogs.showErrorMessage(TITLE, e));
        }
    }

    /** After the settings changed. */
    void reopen() {
        overlays.values().forEach(MapOverlay::remove);
        overlays.clear();
        Preferences.reopen();
    }
}
