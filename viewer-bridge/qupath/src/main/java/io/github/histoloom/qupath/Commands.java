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

/** What the menu items do. Whatever takes time goes on in the background; all else is on the thread of the windows. */
final class Commands {
    static final String TITLE = "Histoloom";
    /** Filled by the viewer, or of no use in a dialog. */
    private static final Set<String> BY_THE_VIEWER = Set.of("roi", "viewport", "skip_done", "edits", "at", "labels", "regions", "first", "annotations");
    /** Those of the windows that are there; null without windows. */
    private static volatile Commands installed;

    /** Something that may have to say why it cannot be done. */
    interface Command {
        void run() throws Trouble;
    }

    /** The same with the session and the form of a job kind. */
    interface Opened {
        void run(Session session, Form form) throws Trouble;
    }

    /** What gives something after a while, on a background thread. */
    interface Slow<T> {
        T get(Session session) throws Trouble;
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
        installed = this;
    }

    static void orSay(Command command) {
        try {
            command.run();
        } catch (Trouble | Histoloom.Failure e) {
            say(e);
        }
    }

    private static void say(Throwable e) {
        if (e instanceof Histoloom.Failure) { // a map of a session that was closed
            say(Trouble.of((Histoloom.Failure) e, null));
        } else if (!(e instanceof Trouble)) {
            Dialogs.showErrorMessage(TITLE, e);
        } else if (((Trouble) e).kind == Trouble.Kind.CANCELLED) {
            Dialogs.showInfoNotification(TITLE, e.getMessage());
        } else {
            Dialogs.showErrorMessage(TITLE, e.getMessage());
        }
    }

    /** On a thread of its own; what goes wrong is said, after failed has run. */
    private static void background(String name, Command command, Runnable failed) {
        final Thread thread = new Thread(() -> {
            try {
                command.run();
            } catch (Throwable e) { // whatever it is, the user is told
                Platform.runLater(() -> {
                    failed.run();
                    say(e);
                });
            }
        }, "histoloom-" + name);
        thread.setDaemon(true);
        thread.start();
    }

    /** Gets something in the background, and goes on with it on the windows' thread. */
    static <T> void later(Slow<T> slow, Consumer<T> then) {
        background("ask", () -> {
            final T got = slow.get(Preferences.session());
            Platform.runLater(() -> orSay(() -> then.accept(got)));
        }, () -> {});
    }

    /**
     * Goes on with the session and a form. The session is opened in the background: the first time models are unpacked, and another may be
     * closing.
     */
    private static void opened(String kind, Opened then) {
        background("open", () -> {
            final Session session = Preferences.session();
            final Form form = session.form(kind);
            Platform.runLater(() -> orSay(() -> then.run(session, form)));
        }, () -> {});
    }

    /** Says what was found in a window. */
    void tell(String title, Slow<String> text) {
        later(text, said -> Pages.text(window(), "Histoloom: " + title, said));
    }

    Window window() {
        return qupath.getStage();
    }

    /** The open image; the trouble says that none is. */
    private ImageData<BufferedImage> image() throws Trouble {
        ServerReader.of(qupath.getImageData());
        return qupath.getImageData();
    }

    void cluster() throws Trouble {
        final ImageData<BufferedImage> image = image();
        opened("cluster", (session, form) -> map("Cluster slide", image, form, Set.of("atlas", "encoder")));
    }

    void atlas() throws Trouble {
        final ImageData<BufferedImage> image = image();
        opened("cluster", (session, form) -> {
            final File shipped = new File(session.modelsDir() == null ? "" : session.modelsDir(), "he_atlas.json");
            form.put("atlas", shipped.isFile() ? shipped.getPath() : null);
            form.field("k").set("0");
            map("Apply atlas", image, form, Set.of());
        });
    }

    private void map(String title, ImageData<BufferedImage> image, Form form, Set<String> leftOut) throws Trouble {
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
        run(title, image, overlay, (session, slide, watcher) -> session.run("cluster", params, slide, watcher),
            outcome -> legend(image, outcome.map(), overlay));
    }

    private void legend(ImageData<BufferedImage> image, TissueMap map, MapOverlay overlay) {
        LegendWindow.show(window(), map, overlay, detections -> background("objects", () -> {
            Objects.add(image, map, detections);
            final String step = "Histoloom: map as objects", line = Script.objects(detections);
            Platform.runLater(() -> image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep(step, line)));
        }, () -> {}));
    }

    /** The legend of the slide's newest map once more, and the overlay with it. */
    void legend() throws Trouble {
        final ImageData<BufferedImage> image = image();
        later(session -> session.map(ServerReader.of(image)), map -> legend(image, map, shown(map)));
    }

    /** A map that a script made is shown where its slide is open. */
    static void scripted(ImageData<BufferedImage> image, TissueMap map) {
        final Commands windows = installed;
        if (windows != null && map != null) {
            Platform.runLater(() -> {
                if (windows.qupath.getImageData() == image) {
                    windows.shown(map);
                }
            });
        }
    }

    private MapOverlay shown(TissueMap map) {
        final MapOverlay overlay = overlay(map.slideId);
        overlay.ended(null, map);
        return overlay;
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
        final ServerReader slide = image == null ? null : ServerReader.of(image);
        final RunView view = Preferences.OWN_WINDOW.get() ? new ProgressWindow(window(), title) : new TaskView(qupath, title);
        final Session.Watcher watcher = new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                view.show(p);
            }

            @Override
            public void partial(BufferedImage picture) {
                if (over != null) {
                    Platform.runLater(() -> over.show(view, picture));
                }
            }

            @Override
            public boolean cancelled() {
                return view.cancelled();
            }
        };
        background("run", () -> {
            view.begin();
            final Session.Outcome outcome = work.run(Preferences.session(), slide, watcher);
            Platform.runLater(() -> {
                ended(view, over, outcome.map());
                if (image != null) {
                    image.getHistoryWorkflow().addStep(new DefaultScriptableWorkflowStep("Histoloom: " + title, outcome.script()));
                }
                orSay(() -> then.accept(outcome));
            });
        }, () -> ended(view, over, null));
    }

    /** The view stands for its run. */
    private static void ended(RunView view, MapOverlay over, TissueMap made) {
        view.close();
        if (over != null) {
            over.ended(view, made);
        }
    }

    void tile() throws Trouble {
        final ImageData<BufferedImage> image = image();
        opened("synth", (session, form) -> {
            final Synthesis state = new Synthesis(session.map(ServerReader.of(image)), form, session.drawings());
            new SynthesisWindow(this, image, state).show();
        });
    }

    void dataSet() throws Trouble {
        final ImageData<BufferedImage> image = image();
        opened("synth", (session, form) -> {
            if (!manyTiles("Synthesise data set", form, BY_THE_VIEWER)) {
                return;
            }
            if (form.field("from").value() == null) {
                session.map(ServerReader.of(image));
            }
            run("Synthesise data set", image, (own, slide, watcher) -> own.run("synth", form.values(), slide, watcher),
                outcome -> summary("data set", outcome));
        });
    }

    void generate() throws Trouble {
        final ImageData<BufferedImage> image = image();
        final ServerReader open = ServerReader.of(image);
        final List<Outlines.Annotated> drawn = Objects.classed(image.getHierarchy().getAnnotationObjects(), open.name());
        final Set<String> hidden = new HashSet<>(BY_THE_VIEWER);
        hidden.add("from");
        opened("synth", (session, form) -> {
            if (!manyTiles("Generate from annotations", form, hidden)) {
                return;
            }
            final MapOverlay overlay = overlay(open.id());
            run("Generate from annotations", image, overlay, (own, slide, watcher) -> own.generate(drawn, form.values(), slide, watcher), outcome -> {
                legend(image, outcome.map(), overlay);
                summary("data set", outcome);
            });
        });
    }

    /** Asks how to make a data set; whether the user wants it. */
    private boolean manyTiles(String title, Form form, Set<String> hidden) throws Trouble {
        form.set("n", "100");
        if (!FormDialog.show(window(), title, form, null, hidden)) {
            return false;
        }
        if (form.field("out_dir").value() == null) {
            throw Trouble.parameter("No folder for the tiles is given. Choose one as \"Output folder\".");
        }
        return true;
    }

    private void summary(String title, Session.Outcome outcome) {
        Pages.text(window(), "Histoloom: " + title, Report.summary(outcome.summary()));
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
        opened(kind, (session, form) -> {
            if (FormDialog.show(window(), title, form, null, kind.equals("op") ? Set.of() : BY_THE_VIEWER)) {
                final ImageData<BufferedImage> on = Session.needsSlide(kind) ? image : null;
                run(title, on, (own, slide, watcher) -> own.run(kind, form.values(), slide, watcher), outcome -> summary(title, outcome));
            }
        });
    }

    void models() throws Trouble {
        new ModelsWindow(this).show();
    }

    void doctor() {
        tell("doctor", session -> Report.doctor(session.doctor(), session.modelsDir()));
    }

    /** After the settings changed. Runs that still go on are waited for, so in the background. */
    void reopen() {
        overlays.values().forEach(MapOverlay::remove);
        overlays.clear();
        background("settings", () -> {
            Preferences.reopen();
            Preferences.session();
        }, () -> {});
    }
}
