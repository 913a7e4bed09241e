package io.github.histoloom.qupath;

import io.github.histoloom.TissueMap;
import java.nio.file.Path;
import java.util.function.Consumer;
import javafx.geometry.Insets;
import javafx.scene.Scene;
import javafx.scene.control.Button;
import javafx.scene.control.CheckBox;
import javafx.scene.control.Label;
import javafx.scene.control.ScrollPane;
import javafx.scene.control.Slider;
import javafx.scene.image.ImageView;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.HBox;
import javafx.scene.layout.VBox;
import javafx.scene.paint.Color;
import javafx.scene.shape.Rectangle;
import javafx.stage.Stage;
import javafx.stage.Window;

/** Names, colours, shares and exemplar crops of the classes; opacity of the overlay; the map as objects. */
final class LegendWindow {
    private static final int CROPS = 3, CROP_PX = 64, SWATCH_PX = 26, LIST_WIDTH_PX = 420, LIST_HEIGHT_PX = 560, NO_RGB = 0xD9D9D9;

    private LegendWindow() {}

    /** objects is given whether detections rather than annotations are wanted. */
    static void show(Window owner, TissueMap map, MapOverlay overlay, Consumer<Boolean> objects) {
        final GridPane classes = new GridPane();
        classes.setPadding(new Insets(4));
        classes.setHgap(8);
        classes.setVgap(6);
        for (TissueMap.TissueClass c : map.classes) {
            final HBox crops = new HBox(3);
            c.crops().stream().limit(CROPS).forEach(p -> crops.getChildren().add(picture(p.file(), CROP_PX)));
            classes.addRow(classes.getRowCount(), swatch(c.rgb()), new Label(c.name()), new Label(String.format("%.1f %%", 100 * c.share())), crops);
        }
        for (TissueMap.WithoutCells c : map.withoutCells) {
            final Label why = grey(c.why() == null ? "no cells" : "no cells: " + c.why());
            why.setWrapText(true);
            classes.addRow(classes.getRowCount(), swatch(NO_RGB), grey(c.name()));
            classes.add(why, 2, classes.getRowCount() - 1, 2, 1);
        }
        final Slider opacity = new Slider(0, 1, overlay.getOpacity());
        opacity.valueProperty().addListener((o, before, now) -> {
            overlay.setOpacity(now.doubleValue());
            overlay.repaint();
        });
        final Button annotations = new Button("Add annotations"), detections = new Button("Add detections"), report = new Button("Open report");
        final CheckBox shown = new CheckBox("Overlay");
        shown.setSelected(overlay.isVisible());
        shown.setOnAction(e -> overlay.show(shown.isSelected()));
        annotations.setOnAction(e -> objects.accept(false));
        detections.setOnAction(e -> objects.accept(true));
        report.setOnAction(e -> Commands.orSay(() -> Pages.browse(map.report())));
        final Label notes = new Label(String.join("\n", map.notes()));
        notes.setWrapText(true);
        notes.setMaxWidth(LIST_WIDTH_PX);
        final ScrollPane list = new ScrollPane(classes);
        list.setFitToWidth(true);
        list.setMinViewportWidth(LIST_WIDTH_PX);
        final int height = map.classes.size() * (CROP_PX + 6) + map.withoutCells.size() * CROP_PX + 4;
        list.setPrefViewportHeight(Math.min(LIST_HEIGHT_PX, height)); // an atlas has dozens of classes
        final VBox all = new VBox(10, list, new HBox(8, shown, new Label("Opacity"), opacity), new HBox(8, annotations, detections, report), notes);
        all.setPadding(new Insets(12));
        open(owner, "Histoloom: classes of " + map.slide, new Scene(all));
    }

    private static Label grey(String text) {
        final Label out = new Label(text);
        out.setTextFill(Color.GRAY);
        return out;
    }

    static Stage open(Window owner, String title, Scene scene) {
        final Stage stage = new Stage();
        stage.initOwner(owner);
        stage.setTitle(title);
        stage.setScene(scene);
        stage.show();
        return stage;
    }

    static ImageView picture(Path file, int side) {
        final ImageView view = new ImageView(file.toUri().toString());
        view.setFitWidth(side);
        view.setFitHeight(side);
        view.setPreserveRatio(true);
        return view;
    }

    static Rectangle swatch(int rgb) {
        final Rectangle out = new Rectangle(SWATCH_PX, SWATCH_PX, Color.rgb(rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255));
        out.setStroke(Color.GRAY);
        return out;
    }
}
