package qupath.lib.gui;

import java.awt.image.BufferedImage;
import java.util.LinkedHashMap;
import java.util.Map;
import javafx.scene.control.Menu;
import javafx.stage.Stage;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.images.ImageData;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/QuPathGUI.java of QuPath 0.6.0 and 0.7.0. */
public class QuPathGUI {
    private static QuPathGUI instance;
    private final Map<String, Menu> menus = new LinkedHashMap<>();
    private final Stage stage;
    private final QuPathViewer viewer;

    /** Not upstream's: for tests. */
    public QuPathGUI(Stage stage, QuPathViewer viewer) {
        this.stage = stage;
        this.viewer = viewer;
        instance = this;
    }

    public static QuPathGUI getInstance() {
        return instance;
    }

    public Menu getMenu(final String name, final boolean createMenu) {
        return createMenu ? menus.computeIfAbsent(name, Menu::new) : menus.get(name);
    }

    public Stage getStage() {
        return stage;
    }

    public QuPathViewer getViewer() {
        return viewer;
    }

    public ImageData<BufferedImage> getImageData() {
        return viewer == null ? null : viewer.getImageData();
    }
}
