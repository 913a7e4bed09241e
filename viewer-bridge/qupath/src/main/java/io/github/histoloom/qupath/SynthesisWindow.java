package io.github.histoloom.qupath;

import io.github.histoloom.Synthesis;
import io.github.histoloom.Tile;
import io.github.histoloom.TissueMap;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.io.File;
import java.util.Collection;
import java.util.HashMap;
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
import javafx.scene.image.ImageView;
import javafx.scene.layout.FlowPane;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.HBox;
import javafx.scene.layout.VBox;
import qupath.fx.dialogs.Dialogs;
import qupath.fx.dialogs.FileChoosers;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;
import qupath.lib.roi.interfaces.ROI;

/** Classes with their crops, a label map to draw with a brush or from annotations, parameters, and the gallery. */
final class SynthesisWindow {
    private static final int VIEW_PX = 256;
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

    SynthesisWindow(Commands commands, ImageData<BufferedImage> image, Synthesis state) {
        this.commands = commands;
        this.image = image;
        this.state = state;
        label = state.map.classes.isEmpty() ? 0 : state.map.classes.get(0).label();
    }

    void show() {
        canvas.setFitWidth(VIEW_PX);
        canvas.setFitHeight(VIEW_PX);
        canvas.setOnMousePressed(e -> dab(e.getX(), e.getY()));
        canvas.setOnMouseDragged(e -> dab(e.getX(), e.getY()));
        gallery.setPrefWrapLength(2 * VIEW_PX + 20);
        final Node parameters = FormDialog.embed(state.form, Set.of("labels", "at", "regions", "first", "from"), form);
        final Button make = new Button("Synthesise"), export = new Button("Export accepted...");
        make.setOnAction(e -> Commands.orSay(this::make));
        export.setOnAction(e -> Commands.orSay(this::export));
        final VBox left = new VBox(10, new Label("Classes; choose one to draw with"), classes(), drawing(), canvas);
        final VBox right = new VBox(10, parameters, new HBox(8, make, export), new Label("Tiles are synthetic; not flagged is not verified."), gallery);
        left.setPadding(new Insets(12));
        right.setPadding(new Insets(12));
        final ScrollPane scroll = new ScrollPane(new HBox(left, right));
        scroll.setPrefSize(980, 720);
        redraw();
        LegendWindow.open(commands.window(), "Histoloom: synthesise from " + state.map.slide, new Scene(scroll));
    }

    private Node classes() {
        final GridPane out = new GridPane();
        out.setHgap(6);
        out.setVgap(4);
        final ToggleGroup group = new ToggleGroup();
        for (TissueMap.TissueClass c : state.map.classes) {
            final ToggleButton choose = new ToggleButton(c.name());
            choose.setToggleGroup(group);
            choose.setSelected(c.label() == label);
            choose.setOnAction(e -> label = c.label());
            final HBox crops = new HBox(2);
            c.crops().stream().limit(2).forEach(p -> crops.getChildren().add(LegendWindow.picture(p.toUri().toString(), 48)));
            out.addRow(out.getRowCount(), LegendWindow.swatch(c.rgb()), choose, crops);
        }
        return out;
    }

    private Node drawing() {
        final Button fill = new Button("Fill"), here = new Button("Map here"), annotations = new Button("Annotations"), none = new Button("No drawing");
        fill.setOnAction(e -> change(() -> state.fill(label)));
        here.setOnAction(e -> change(() -> state.fromMap(left(), top())));
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
    private long left() {
        return Math.max(0, Math.round(QuPathGUI.getInstance().getViewer().getCenterPixelX() - side() / 2));
    }

    private long top() {
        return Math.max(0, Math.round(QuPathGUI.getInstance().getViewer().getCenterPixelY() - side() / 2));
    }

    private double side() {
        return ((Number) state.form.field("size_px").value()).doubleValue() * state.map.downsample;
    }

    /** Selected annotations: those whose class is one of the map's get its label, others the one chosen. */
    private void annotations() throws Trouble {
        final Collection<PathObject> selected = image.getHierarchy().getSelectionModel().getSelectedObjects();
        if (Objects.shapes(selected).isEmpty()) {
            throw Trouble.noAnnotation(state.map.slide);
        }
        double x = Double.POSITIVE_INFINITY, y = x;
        for (PathObject o : selected) {
            x = Math.min(x, o.getROI() == null ? x : o.getROI().getBoundsX());
            y = Math.min(y, o.getROI() == null ? y : o.getROI().getBoundsY());
        }
        for (PathObject o : selected) {
            final ROI roi = o.getROI();
            if (roi != null && roi.isArea()) {
                final int named = o.getPathClass() == null ? 0 : state.label(o.getPathClass().toString());
                state.annotation(named == 0 ? label : named, roi.getShape(), x, y);
            }
        }
    }

    private void dab(double x, double y) {
        if (!take()) {
            return;
        }
        if (state.canvas() == null) {
            state.fill(0);
        }
        final double scale = state.canvas().getWidth() / (double) VIEW_PX;
        state.brush(label, x * scale, y * scale, brush.getValue() * scale);
        redraw();
    }

    private void redraw() {
        canvas.setImage(Pages.picture(state.canvas() == null ? BLANK : state.drawn()));
    }

    private void make() throws Trouble {
        if (take()) {
            commands.run("Synthesise tile", image, (session, slide, watcher) -> state.make(session, slide, watcher), outcome -> fillGallery());
        }
    }

    private void fillGallery() {
        gallery.getChildren().clear();
        for (Tile tile : state.gallery) {
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
        if (state.gallery.stream().noneMatch(t -> t.accepted)) {
            throw Trouble.parameter("No tile is accepted. Tick those to keep below their pictures.");
        }
        final File to = FileChoosers.promptForDirectory("Folder for the accepted tiles", null);
        if (to != null) {
            Dialogs.showInfoNotification(Commands.TITLE, state.export(to.toPath()) + " tiles are in " + to);
        }
    }
}
