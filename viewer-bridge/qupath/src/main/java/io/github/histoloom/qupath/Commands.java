package io.github.histoloom.qupath;

import io.github.histoloom.Form;
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
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import javafx.application.Platform;
import javafx.scene.control.CheckBox;
import javafx.stage.Window;
import qupath.fx.dialogs.Dialogs;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.gui.viewer.QuPathViewer;
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
    private MapOverlay overlay, before;

    Commands(QuPathGUI qupath) {
        this.qupath = qupath;
    }

    static void orSay(Command command) {
        try {
            command.run();
        } catch (Trouble t) {
            say(t);
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
        show(image);
        run(title, image, (session, slide, watcher) -> session.run("cluster", params, slide, watcher), outcome -> made(image, outcome.map()));
    }

    /** Lays a new overlay over the viewer, in place of the one before, which comes back if the run makes nothing. */
    private void show(ImageData<BufferedImage> image) {
        final QuPathViewer viewer = qupath.getViewer();
        before = overlay;
        viewer.getCustomOverlayLayers().remove(before);
        overlay = new MapOverlay(viewer, image);
        viewer.getCustomOverlayLayers().add(overlay);
    }

    private void made(ImageData<BufferedImage> image, TissueMap map) {
        overlay.show(map);
        LegendWindow.show(window(), map, overlay, detections -> {
            Objects.add(image, map, detections);
            image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep("Histoloom: map as objects", Script.objects(detections)));
        });
    }

    /** Runs work in the background with progress and cancel, records the step, and hands the outcome over on the windows' thread. */
    void run(String title, ImageData<BufferedImage> image, Work work, Consumer<Session.Outcome> then) throws Trouble {
        final Session session = Preferences.session();
        final ServerReader slide = image == null ? null : ServerReader.of(image);
        final MapOverlay over = overlay;
        final ProgressWindow progress = new ProgressWindow(window(), title);
        final Session.Watcher watcher = new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                progress.show(p);
            }

            @Override
            public void partial(BufferedImage picture) {
                if (over != null && over.image() == image && !over.done()) {
                    Platform.runLater(() -> over.show(picture));
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
                    progress.close();
                    if (image != null) {
                        final String step = "Histoloom: " + outcome.kind();
                        image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep(step, outcome.script()));
                    }
                    then.accept(outcome);
                });
            } catch (Trouble t) {
                Platform.runLater(() -> {
                    progress.close();
                    drop(over);
                    say(t);
                });
            } catch (RuntimeException | Error e) {
                Platform.runLater(() -> {
                    progress.close();
                    drop(over);
                    Dialogs.showErrorMessage(TITLE, e);
                });
            }
        }, "histoloom-run");
        thread.setDaemon(true);
        thread.start();
    }

    /** Takes away the overlay of a run that made nothing. */
    private void drop(MapOverlay over) {
        if (over != null && !over.done()) {
            over.hide();
            overlay = before;
            if (before != null) {
                qupath.getViewer().getCustomOverlayLayers().add(before);
            }
        }
    }

    /** The newest map if it is of the open slide. */
    private TissueMap newest() throws Trouble {
        final ServerReader slide = ServerReader.of(qupath.getImageData());
        final TissueMap map = Preferences.session().map();
        if (map == null || !map.slideId.equals(slide.id())) {
            throw Trouble.noMap(slide.name());
        }
        return map;
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
        }
    }

    /** After the settings changed. */
    void reopen() {
        if (overlay != null) {
            overlay.hide();
        }
        overlay = null;
        before = null;
        Preferences.reopen();
    }
}
