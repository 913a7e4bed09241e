package io.github.histoloom.qupath;

import io.github.histoloom.Session;
import io.github.histoloom.Synthesis;
import io.github.histoloom.Tile;
import io.github.histoloom.TissueMap;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.io.File;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import javafx.geometry.Insets;
import javafx.scene.Node;
import javafx.scene.Scene;
import javafx.scene.control.Button;
import javafx.scene.control.CheckBox;
import javafx.scene.control.Label;
import javafx.scene.control.ScrollPane;
import javafx.scene.control.Slider;
import javafx.scene.control.ToggleButton;
import javafx.scene.control.ToggleGroup;
import javafx.scene.control.Tooltip;
import javafx.scene.image.ImageView;
import javafx.scene.layout.FlowPane;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.HBox;
import javafx.scene.layout.Pane;
import javafx.scene.layout.VBox;
import qupath.fx.dialogs.Dialogs;
import qupath.fx.dialogs.FileChoosers;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;
import qupath.lib.roi.interfaces.ROI;

/** Classes with their crops, a label map to draw with a brush or from annotations, parameters, and the gallery. */
final class SynthesisWindow {
    private static final int VIEW_PX = 256, CROP_PX = 48, CROPS_WIDTH_PX = 220, LEFT_PX = 410;
    private static final BufferedImage BLANK = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);

    static {
        BLANK.setRGB(0, 0, 0xE0E0E0);
    }

    private final Commands commands;
    private final ImageData<BufferedImage> image;
    private final Synthesis state;
    private final Map<String, Supplier<Boolean>> form = new HashMap<>();
    private final ImageView canvas = new ImageView();
    private final Slider brush = new Slider(4, 64, 16);
    private final FlowPane gallery = new FlowPane(8, 8);
    private int label;
    private double brushX, brushY;

    SynthesisWindow(Commands commands, ImageData<BufferedImage> image, Synthesis state) {
        this.commands = commands;
        this.image = image;
        this.state = state;
        label = state.map.classes.isEmpty() ? 0 : state.map.classes.get(0).label();
    }

    void show() {
        canvas.setFitWidth(VIEW_PX);
        canvas.setFitHeight(VIEW_PX);
        canvas.setOnMousePressed(e -> {
            brushX = e.getX();
            brushY = e.getY();
            stroke(e.getX(), e.getY());
        });
        canvas.setOnMouseDragged(e -> stroke(e.getX(), e.getY()));
        gallery.setPrefWrapLength(2 * VIEW_PX + 20);
        final Node parameters = FormDialog.embed(state.form, Set.of("labels", "at", "regions", "first", "from", "crops"), form);
        final Button make = new Button("Synthesise"), export = new Button("Export accepted..."), report = new Button("Open report");
        make.setOnAction(e -> Commands.orSay(this::make));
        export.setOnAction(e -> Commands.orSay(this::export));
        report.setOnAction(e -> Commands.orSay(() -> Pages.browse(state.report())));
        final Label about = new Label("Classes; choose one to draw with. Click up to two crops that its tissue shall look like.");
        about.setWrapText(true);
        about.setPrefWidth(LEFT_PX);
        final ScrollPane list = new ScrollPane(classes());
        list.setPrefViewportHeight(240);
        list.setPrefViewportWidth(LEFT_PX);
        final VBox left = new VBox(10, about, list, drawing(), canvas);
        final VBox right = new VBox(10, parameters, new HBox(8, make, export, report),
            new Label("Tiles are synthetic; not flagged is not verified."), gallery);
        left.setPadding(new Insets(12));
        right.setPadding(new Insets(12));
        final ScrollPane scroll = new ScrollPane(new HBox(left, right));
        scroll.setPrefSize(1040, 760);
        redraw();
        LegendWindow.open(commands.window(), "Histoloom: synthesise from " + state.map.slide, new Scene(scroll));
    }

    private Node classes() {
        final GridPane out = new GridPane();
        out.setPadding(new Insets(4));
        out.setHgap(6);
        out.setVgap(4);
        final ToggleGroup group = new ToggleGroup();
        for (TissueMap.TissueClass c : state.map.classes) {
            final ToggleButton choose = new ToggleButton(c.name());
            choose.setToggleGroup(group);
            choose.setSelected(c.label() == label);
            choose.setOnAction(e -> label = c.label());
            final FlowPane crops = new FlowPane(2, 2);
            crops.setPrefWrapLength(CROPS_WIDTH_PX);
            c.crops().forEach(crop -> crops.getChildren().add(crop(c.label(), crop.index(), LegendWindow.picture(crop.file(), CROP_PX))));
            final Button other = new Button("...");
            other.setTooltip(new Tooltip("A picture of your own (PNG)"));
            other.setOnAction(e -> otherCrop(c.label(), crops));
            out.addRow(out.getRowCount(), LegendWindow.swatch(c.rgb()), choose, crops, other);
        }
        return out;
    }

    /** A crop to choose; crop is its index or file. */
    private ToggleButton crop(int of, Object crop, ImageView picture) {
        final ToggleButton out = new ToggleButton(null, picture);
        out.setStyle("-fx-padding: 2");
        out.setUserData(crop);
        out.setOnAction(e -> {
            state.chooseCrop(of, crop);
            mark(of, (Pane) out.getParent());
        });
        return out;
    }

    /** Of three the first is taken back, so all are looked at. */
    private void mark(int of, Pane crops) {
        crops.getChildren().forEach(n -> {
            final boolean chosen = state.crops(of).contains(n.getUserData());
            ((ToggleButton) n).setSelected(chosen);
            n.setStyle("-fx-padding: 2" + (chosen ? "; -fx-base: #d55e00" : ""));
        });
    }

    private void otherCrop(int of, Pane crops) {
        final File file = FileChoosers.promptForFile("A picture of such tissue (PNG)");
        if (file != null && !state.crops(of).contains(file.getPath())) {
            crops.getChildren().add(crop(of, file.getPath(), LegendWindow.picture(file.toPath(), CROP_PX)));
            state.chooseCrop(of, file.getPath());
            mark(of, crops);
        }
    }

    private Node drawing() {
        final Button fill = new Button("Fill"), here = new Button("Map here"), annotations = new Button("Annotations"), none = new Button("No drawing");
        fill.setOnAction(e -> change(() -> state.fill(label)));
        here.setOnAction(e -> change(this::mapHere));
        annotations.setOnAction(e -> change(this::annotations));
        none.setOnAction(e -> change(state::noDrawing));
        return new VBox(4, new Label("Label map; without a drawing places of the map are taken"), new HBox(4, fill, here, annotations, none),
            new HBox(4, new Label("Brush"), brush));
    }

    private void change(Commands.Command command) {
        Commands.orSay(() -> {
            if (take()) {
                command.run();
                redraw();
            }
        });
    }

    private boolean take() {
        return form.values().stream().allMatch(Supplier::get);
    }

    /** The tile lies around the middle of the view. */
    private void mapHere() throws Trouble {
        final QuPathViewer viewer = QuPathGUI.getInstance().getViewer();
        if (viewer.getImageData() == null || !viewer.getImageData().getServer().getPath().equals(state.map.slideId)) {
            throw Trouble.parameter("The viewer shows another slide than \"" + state.map.slide + "\", whose map this is. Show that one first.");
        }
        state.fromMapAround(viewer.getCenterPixelX(), viewer.getCenterPixelY());
    }

    /** Selected annotations: those whose class is one of the map's get its label, others the one chosen. */
    private void annotations() throws Trouble {
        final List<Synthesis.Area> areas = new ArrayList<>();
        for (PathObject o : image.getHierarchy().getSelectionModel().getSelectedObjects()) {
            final ROI roi = o.getROI();
            if (roi != null && roi.isArea() && !roi.getShape().getBounds2D().isEmpty()) {
                areas.add(state.area(o.getPathClass() == null ? null : o.getPathClass().toString(), label, roi.getShape()));
            }
        }
        if (areas.isEmpty()) {
            throw Trouble.noAnnotation(state.map.slide);
        }
        state.annotations(areas);
    }

    /** From where the brush was. */
    private void stroke(double x, double y) {
        if (take()) {
            state.brushShown(VIEW_PX, label, brushX, brushY, x, y, brush.getValue());
            brushX = x;
            brushY = y;
            redraw();
        }
    }

    private void redraw() {
        canvas.setImage(Pages.picture(state.canvas() == null ? BLANK : state.drawn()));
    }

    private void make() throws Trouble {
        if (take()) {
            final Map<String, Object> params = state.params();
            final Synthesis.Gallery[] made = new Synthesis.Gallery[1];
            commands.run("Synthesise tile", image, (session, slide, watcher) -> {
                final Session.Outcome outcome = session.run("synth", params, slide, state.map, watcher);
                made[0] = Synthesis.tiles(outcome);
                return outcome;
            }, outcome -> {
                state.show(made[0]);
                fillGallery();
            });
        }
    }

    private void fillGallery() {
        gallery.getChildren().clear();
        for (Tile tile : state.gallery()) {
            final ImageView view = new ImageView(Pages.picture(tile.drawn()));
            view.setFitWidth(VIEW_PX);
            view.setPreserveRatio(true);
            final CheckBox accept = new CheckBox(tile.flags.isEmpty() ? "accept" : "accept although flagged");
            accept.setSelected(tile.accepted);
            accept.setOnAction(e -> tile.accepted = accept.isSelected());
            final Label reasons = new Label(String.join("\n", tile.reasons()));
            reasons.setWrapText(true);
            reasons.setMaxWidth(VIEW_PX);
            gallery.getChildren().add(new VBox(4, view, accept, reasons));
        }
    }

    private void export() throws Trouble {
        if (state.gallery().stream().noneMatch(t -> t.accepted)) {
            throw Trouble.parameter("No tile is accepted. Tick those to keep below their pictures.");
        }
        final File to = FileChoosers.promptForDirectory("Folder for the accepted tiles", null);
        if (to != null) {
            Dialogs.showInfoNotification(Commands.TITLE, state.export(to.toPath()) + " tiles are in " + to);
        }
    }
}
