package io.github.histoloom.qupath;

import static io.github.histoloom.qupath.ThinTest.must;

import io.github.histoloom.RegionReader;
import java.awt.AlphaComposite;
import java.awt.Graphics2D;
import java.awt.Rectangle;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javafx.application.Platform;
import javafx.embed.swing.SwingFXUtils;
import javafx.scene.Node;
import javafx.scene.Parent;
import javafx.scene.Scene;
import javafx.scene.control.ButtonBase;
import javafx.scene.control.CheckBox;
import javafx.scene.control.Label;
import javafx.scene.control.ListView;
import javafx.scene.control.Menu;
import javafx.scene.control.MenuItem;
import javafx.scene.control.ProgressBar;
import javafx.scene.control.Slider;
import javafx.scene.control.TextField;
import javafx.scene.control.TitledPane;
import javafx.scene.image.ImageView;
import javafx.scene.layout.FlowPane;
import javafx.scene.layout.VBox;
import javafx.scene.paint.Color;
import javafx.stage.Stage;
import javafx.stage.Window;
import javax.imageio.ImageIO;
import qupath.fx.dialogs.Dialogs;
import qupath.fx.dialogs.FileChoosers;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.gui.tools.GuiTools;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.gui.viewer.overlays.PathOverlay;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;
import qupath.lib.objects.PathObjects;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep;
import qupath.lib.regions.ImagePlane;
import qupath.lib.regions.ImageRegion;
import qupath.lib.roi.ROIs;
import qupath.lib.scripting.QP;

/** The windows themselves, on a display: every menu item is fired, dialogs are filled, and pictures are left to look at. */
public final class WindowTest {
    private static final int PATIENCE_S = 240;
    private static final int ORANGE = 0xD55E00;

    private final ImageData<BufferedImage> image;
    private final QuPathViewer viewer;
    private final File out;
    private Menu menu;

    private WindowTest(RegionReader slide, File out) {
        this.out = out;
        image = new ImageData<>(ThinTest.server(slide, true));
        viewer = new QuPathViewer(image);
    }

    public static void run(RegionReader slide, File out) throws Exception {
        final CountDownLatch started = new CountDownLatch(1);
        Platform.startup(started::countDown);
        Platform.setImplicitExit(false);
        started.await();
        try {
            final WindowTest t = new WindowTest(slide, out);
            t.installed();
            t.nothingYet();
            t.cluster();
            t.legend();
            t.cancelled();
            t.scripted();
            t.tile();
            t.manyTiles();
            t.flags();
            t.models();
            t.atlas();
        } finally {
            Platform.exit(); // or its thread keeps the program
        }
    }

    /** On the thread of the windows. */
    private static <T> T fx(Callable<T> what) throws Exception {
        final FutureTask<T> task = new FutureTask<>(what);
        Platform.runLater(task);
        return task.get(PATIENCE_S, TimeUnit.SECONDS);
    }

    /** Until it is so, on the thread of the windows. */
    private static <T> T until(String what, Callable<T> found) throws Exception {
        final long began = System.nanoTime();
        for (;;) {
            final T it = fx(found);
            if (it != null) {
                return it;
            }
            must(System.nanoTime() - began < PATIENCE_S * 1e9, "waited too long: " + what + "; said so far: " + Dialogs.SAID);
            Thread.sleep(50);
        }
    }

    private static Stage window(String title) throws Exception {
        return until(title, () -> Window.getWindows().stream().filter(w -> w.isShowing() && w instanceof Stage && ((Stage) w).getTitle().contains(title))
            .map(Stage.class::cast).findFirst().orElse(null));
    }

    private static void close(Stage window) throws Exception {
        fx(() -> {
            window.close();
            return null;
        });
    }

    private static <T extends Node> List<T> all(Node root, Class<T> type) {
        final List<T> found = new ArrayList<>();
        if (type.isInstance(root)) {
            found.add(type.cast(root));
        }
        if (root instanceof Parent) {
            ((Parent) root).getChildrenUnmodifiable().forEach(c -> found.addAll(all(c, type)));
        }
        return found;
    }

    private static <T extends Node> List<T> all(Stage window, Class<T> type) throws Exception {
        return fx(() -> all(window.getScene().getRoot(), type));
    }

    /** Presses a button; it may open a dialog, so its end is not waited for. */
    private static void press(Stage window, String text) throws Exception {
        final ButtonBase button = all(window, ButtonBase.class).stream().filter(b -> text.equals(b.getText())).findFirst()
            .orElseThrow(() -> new AssertionError("no button " + text));
        must(!button.isDisabled(), text + " can be pressed");
        Platform.runLater(button::fire);
    }

    private static void type(Stage dialog, String field, String text) throws Exception {
        fx(() -> {
            ((TextField) dialog.getScene().lookup("#" + field)).setText(text);
            return null;
        });
    }

    /** A picture of a window, and nothing in it as programs write it. */
    private void picture(Stage window, String name) throws Exception {
        Thread.sleep(300); // pictures are loaded
        final BufferedImage shot = fx(() -> {
            final Scene scene = window.getScene();
            return SwingFXUtils.fromFXImage(scene.snapshot(null), null);
        });
        ImageIO.write(shot, "png", new File(out, name + ".png"));
        for (Label label : all(window, Label.class)) {
            plain(label.getText());
        }
        for (TextField field : all(window, TextField.class)) {
            plain(field.getText());
        }
    }

    private static void plain(String text) {
        must(text == null || !text.matches("(?s).*([{}\\[\\]]|\": ).*"), "not for people: " + text);
    }

    /** What was said since it was asked last. */
    private static String said(String part) throws Exception {
        for (;;) {
            final String text = Dialogs.SAID.poll(PATIENCE_S, TimeUnit.SECONDS);
            must(text != null, "nobody said " + part);
            if (text.contains(part)) {
                plain(text);
                return text;
            }
        }
    }

    private void fire(String item) {
        final MenuItem found = menu.getItems().stream().filter(i -> i.getText().equals(item)).findFirst().orElseThrow();
        Platform.runLater(found::fire);
    }

    private void installed() throws Exception {
        menu = fx(() -> {
            final Stage stage = new Stage();
            stage.setTitle("QuPath");
            stage.setScene(new Scene(new VBox(), 300, 200));
            stage.show();
            final QuPathGUI qupath = new QuPathGUI(stage, viewer);
            new HistoloomExtension().installExtension(qupath);
            return qupath.getMenu("Extensions>Histoloom", false);
        });
        final List<String> items = menu.getItems().stream().map(MenuItem::getText).collect(Collectors.toList());
        must(items.equals(List.of("Cluster slide...", "Apply atlas...", "Legend...", "Synthesise tile...", "Synthesise data set...",
            "Generate from annotations...", "Flags...", "Manage models and ops...", "Doctor")), "the menu: " + items);
    }

    private void nothingYet() throws Exception {
        fire("Doctor");
        said("Calibration of the flags:");
        fire("Synthesise tile...");
        said("There is no map of");
        fire("Legend...");
        said("There is no map of");
        fire("Generate from annotations...");
        said("No annotation with an area and a class");
    }

    private void cluster() throws Exception {
        final PathObject area = PathObjects.createAnnotationObject(ROIs.createAreaROI(new Rectangle(600, 900, 900, 900), ImagePlane.getDefaultPlane()),
            PathClass.fromString("Dermis", 0x0040C8));
        image.getHierarchy().addObject(area);
        image.getHierarchy().getSelectionModel().setSelectedObject(area);
        fire("Cluster slide...");
        final Stage dialog = window("Cluster slide");
        type(dialog, "k", "101");
        press(dialog, "OK");
        until("the reason", () -> all(dialog.getScene().getRoot(), Label.class).stream().anyMatch(l -> l.getText().contains("0 to 100")) ? true : null);
        must(dialog.isShowing(), "what is wrong is said in the dialog");
        picture(dialog, "cluster");
        fx(() -> {
            all(dialog.getScene().getRoot(), TitledPane.class).forEach(p -> p.setExpanded(true));
            return null;
        });
        Thread.sleep(500);
        picture(dialog, "cluster_more");
        type(dialog, "k", "3");
        press(dialog, "OK");
        final Stage progress = window("Progress");
        picture(progress, "progress");
        must(window("classes of CMU-1").isShowing(), "the legend opens");
        until("the progress closes", () -> progress.isShowing() ? null : true);
        must(step().contains("HistoloomScripts.run('cluster'"), "the workflow has it: " + step());
    }

    private String step() {
        final var steps = image.getHistoryWorkflow().getSteps();
        return ((DefaultScriptableWorkflowStep) steps.get(steps.size() - 1)).getScript();
    }

    /** The overlay at a place with tissue. */
    private int pixel() {
        return drawn().getRGB(100, 100);
    }

    /** The overlay as the viewer draws it around there. */
    private BufferedImage drawn() {
        final List<PathOverlay> layers = viewer.getCustomOverlayLayers();
        must(layers.size() == 1, layers.size() + " overlays");
        final BufferedImage screen = new BufferedImage(200, 200, BufferedImage.TYPE_INT_ARGB);
        final Graphics2D g = screen.createGraphics();
        g.setComposite(AlphaComposite.SrcOver);
        g.setClip(0, 0, 200, 200);
        g.translate(-900, -1200);
        layers.get(0).paintOverlay(g, ImageRegion.createInstance(0, 0, image.getServer().getWidth(), image.getServer().getHeight(), 0, 0), 1, image, true);
        g.dispose();
        return screen;
    }

    private void legend() throws Exception {
        final Stage window = window("classes of CMU-1");
        picture(window, "legend");
        final var map = Preferences.session().map(ServerReader.of(image));
        final List<String> texts = all(window, Label.class).stream().map(Label::getText).collect(Collectors.toList());
        final List<Color> colours = all(window, javafx.scene.shape.Rectangle.class).stream().map(r -> (Color) r.getFill()).collect(Collectors.toList());
        must(map.classes.size() == 3, "classes");
        for (var c : map.classes) {
            must(texts.contains(c.name()) && colours.contains(Color.rgb(c.rgb() >> 16 & 255, c.rgb() >> 8 & 255, c.rgb() & 255)), "a row for " + c);
        }
        must(all(window, ImageView.class).stream().allMatch(v -> v.getImage().getWidth() > 0) && all(window, ImageView.class).size() >= 3, "crops");
        final Slider opacity = all(window, Slider.class).get(0);
        for (double wanted : new double[] {0.2, 0.8}) {
            fx(() -> {
                opacity.setValue(wanted);
                return null;
            });
            must(Math.abs((pixel() >>> 24) - 255 * wanted) < 4, "opacity " + wanted + ": " + (pixel() >>> 24));
        }
        final CheckBox shown = all(window, CheckBox.class).get(0);
        fx(() -> {
            shown.fire();
            return null;
        });
        must(pixel() == 0, "the overlay is hidden");
        close(window);
        fire("Legend...");
        final Stage again = window("classes of CMU-1");
        must(pixel() != 0, "and is there again with the legend");
        press(again, "Add annotations");
        until("objects", () -> image.getHierarchy().getAnnotationObjects().size() == 2 ? true : null);
        until("its step", () -> step().endsWith("annotate()") ? true : null);
        press(again, "Open report");
        opened();
        GuiTools.browser = false;
        press(again, "Open report");
        must(said("No browser could be opened").contains("report.html"), "the page is named");
        GuiTools.browser = true;
        close(again);
    }

    private static void opened() throws Exception {
        final URI page = until("a page", () -> GuiTools.OPENED.isEmpty() ? null : GuiTools.OPENED.remove(0));
        must(Files.readString(Path.of(page)).contains("<html"), "a page: " + page);
    }

    /** A run that is cancelled leaves the map, its overlay and the workflow; in QuPath's dialog, and in the window that leaves the viewer usable. */
    private void cancelled() throws Exception {
        cancelled("Progress");
        fx(() -> {
            Preferences.OWN_WINDOW.set(true);
            return null;
        });
        cancelled("Cluster slide");
        fx(() -> {
            Preferences.OWN_WINDOW.set(false);
            return null;
        });
    }

    private void cancelled(String title) throws Exception {
        final var before = Preferences.session().map(ServerReader.of(image));
        final int[] drawn = drawn().getRGB(0, 0, 200, 200, null, 0, 200);
        final String step = step();
        fire("Cluster slide...");
        final Stage dialog = window("Cluster slide");
        fx(() -> {
            all(dialog.getScene().getRoot(), CheckBox.class).get(0).setSelected(false);
            return null;
        });
        press(dialog, "OK");
        final Stage progress = window(title);
        until("the time left", () -> all(progress.getScene().getRoot(), Label.class).stream().anyMatch(l -> l.getText().matches(".*about .* left.*"))
            && all(progress.getScene().getRoot(), ProgressBar.class).stream().allMatch(b -> b.getProgress() > 0 && b.getProgress() < 1) ? true : null);
        until("the map so far", () -> Arrays.equals(drawn().getRGB(0, 0, 200, 200, null, 0, 200), drawn) ? null : true);
        picture(progress, title.equals("Progress") ? "progress_time_left" : "progress_own");
        press(progress, "Cancel");
        said("Cancelled. Nothing was changed");
        until("the progress closes", () -> progress.isShowing() ? null : true);
        must(Preferences.session().map(ServerReader.of(image)) == before && Arrays.equals(drawn().getRGB(0, 0, 200, 200, null, 0, 200), drawn)
            && step().equals(step), "as it was");
    }

    /** A map made by a script is shown as well. */
    private void scripted() throws Exception {
        QP.setDefaultImageData(image);
        final int before = pixel();
        HistoloomScripts.run("cluster", "{\"k\": 2, \"roi\": [[[950, 1250], [1400, 1250], [1400, 1700], [950, 1700]]]}");
        until("its overlay", () -> pixel() != before || Preferences.session().map(ServerReader.of(image)).classes.size() == 2 ? true : null);
        fire("Legend...");
        final Stage window = window("classes of CMU-1");
        must(all(window, javafx.scene.shape.Rectangle.class).size() >= 2, "the legend of the newest");
        close(window);
    }

    private void tile() throws Exception {
        fire("Synthesise tile...");
        final Stage window = window("synthesise from CMU-1");
        type(window, "n", "1");
        type(window, "steps", "2");
        type(window, "size_px", "128");
        press(window, "Map here");
        until("the drawing", () -> all(window.getScene().getRoot(), ImageView.class).stream().anyMatch(v -> v.getImage().getWidth() == 128) ? true : null);
        picture(window, "synthesise");
        press(window, "Synthesise");
        final FlowPane gallery = until("a gallery", () -> all(window.getScene().getRoot(), FlowPane.class).stream()
            .filter(p -> p.getChildren().stream().anyMatch(VBox.class::isInstance)).findFirst().orElse(null));
        final ImageView tile = all(gallery, ImageView.class).get(0);
        final BufferedImage shown = SwingFXUtils.fromFXImage(tile.getImage(), null);
        int orange = 0;
        for (int rgb : shown.getRGB(0, 0, shown.getWidth(), shown.getHeight(), null, 0, shown.getWidth())) {
            orange += (rgb & 0xFFFFFF) == ORANGE ? 1 : 0;
        }
        must(shown.getWidth() == 128 && orange > 20, "a tile of two steps has frames: " + orange);
        must(all(gallery, Label.class).stream().anyMatch(l -> l.getText().startsWith("The flags are ")), "whether they are calibrated");
        fx(() -> {
            window.setHeight(950);
            return null;
        });
        picture(window, "gallery");
        must(step().startsWith("// These tiles are kept nowhere"), "the script says that it needs a folder: " + step());
        press(window, "Open report");
        opened();
        press(window, "Export accepted...");
        said("No tile is accepted");
        close(window);
    }

    private void manyTiles() throws Exception {
        fire("Synthesise data set...");
        final Stage dialog = window("Synthesise data set");
        type(dialog, "n", "1");
        press(dialog, "OK");
        said("No folder for the tiles is given");
        fire("Synthesise data set...");
        final Stage more = window("Synthesise data set");
        small(more, "set");
        fx(() -> {
            all(more.getScene().getRoot(), TitledPane.class).forEach(p -> p.setExpanded(true));
            return null;
        });
        Thread.sleep(500);
        picture(more, "data_set");
        press(more, "OK");
        said("1 synthetic tile");
        fire("Generate from annotations...");
        final Stage generate = window("Generate from annotations");
        small(generate, "generated");
        press(generate, "OK");
        said("1 synthetic tile");
        final Stage legend = window("classes of CMU-1");
        must(all(legend, Label.class).stream().anyMatch(l -> l.getText().equals("Dermis")), "the legend of what was annotated");
        picture(legend, "legend_annotated");
        close(legend);
    }

    private void small(Stage dialog, String folder) throws Exception {
        type(dialog, "n", "1");
        type(dialog, "steps", "2");
        type(dialog, "size_px", "128");
        type(dialog, "out_dir", new File(out, folder).getPath());
    }

    private void flags() throws Exception {
        fire("Flags...");
        final Stage window = window("Histoloom: flags");
        picture(window, "flags");
        try (Stream<Path> files = Files.walk(out.toPath().resolve("set"))) {
            FileChoosers.next = files.filter(p -> p.endsWith("tile_0001.png")).findFirst().orElseThrow().toFile();
        }
        press(window, "Flags and origin of a tile...");
        must(said("A synthetic tile, not real tissue.").contains("Flagged: "), "why it is flagged");
        for (String[] job : new String[][] {{"Plant faults in this slide, for a calibration...", "Plant faults"},
            {"Index of this slide, which tiles must not repeat...", "Index a slide"}, {"Calibrate from planted faults...", "Calibrate flags"}}) {
            press(window, job[0]);
            final Stage dialog = window(job[1]);
            if (job[1].startsWith("Calibrate")) {
                FileChoosers.next = out;
                press(dialog, "Add...");
                until("a folder", () -> all(dialog.getScene().getRoot(), ListView.class).get(0).getItems().size() == 1 ? true : null);
            }
            picture(dialog, job[1].toLowerCase(java.util.Locale.ROOT).replace(' ', '_'));
            press(dialog, "Cancel");
        }
        close(window);
    }

    private void models() throws Exception {
        fire("Manage models and ops...");
        final Stage window = window("models and ops");
        picture(window, "models");
        press(window, "List models");
        said("Apache-2.0");
        press(window, "List ops");
        said("gamut");
        FileChoosers.next = Files.createDirectories(out.toPath().resolve("no ops")).toFile();
        press(window, "Check a folder of ops...");
        said("no ops");
        press(window, "Run ops on a picture...");
        final Stage dialog = window("Run ops");
        type(dialog, "tile", new File(out, "tile.png").getPath());
        ImageIO.write(new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB), "png", new File(out, "tile.png"));
        picture(dialog, "run_ops");
        press(dialog, "OK");
        said("The picture went through gamut.");
        press(window, "Import a model or encoder...");
        final Stage importing = window("Import a model");
        press(importing, "Cancel");
        press(window, "Apply");
        fire("Legend...");
        said("Cluster slide..."); // no map yet, or the settings were applied this very moment: both name the remedy
        close(window);
    }

    private void atlas() throws Exception {
        fire("Apply atlas...");
        final Stage dialog = window("Apply atlas");
        picture(dialog, "atlas");
        press(dialog, "OK");
        final Stage legend = window("classes of CMU-1");
        picture(legend, "legend_atlas");
        close(legend);
    }
}
