package io.github.histoloom.qupath;

import javafx.scene.control.Menu;
import javafx.scene.control.MenuItem;
import qupath.lib.common.Version;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.gui.extensions.QuPathExtension;

/** The menu Extensions > Histoloom. */
public final class HistoloomExtension implements QuPathExtension {
    @Override
    public void installExtension(QuPathGUI qupath) {
        final Commands c = new Commands(qupath);
        final Menu menu = qupath.getMenu("Extensions>Histoloom", true);
        add(menu, "Cluster slide...", c::cluster);
        add(menu, "Apply atlas...", c::atlas);
        add(menu, "Legend...", c::legend);
        add(menu, "Synthesise tile...", c::tile);
        add(menu, "Synthesise data set...", c::dataSet);
        add(menu, "Generate from annotations...", c::generate);
        add(menu, "Flags...", c::flags);
        add(menu, "Manage models and ops...", c::models);
        add(menu, "Doctor", c::doctor);
    }

    private static void add(Menu menu, String text, Commands.Command command) {
        final MenuItem item = new MenuItem(text);
        item.setOnAction(e -> Commands.orSay(command));
        menu.getItems().add(item);
    }

    @Override
    public String getName() {
        return "Histoloom";
    }

    @Override
    public String getDescription() {
        return "Pseudo-semantic maps of slides, and synthetic tiles made from them. Tiles are synthetic; not flagged is not verified.";
    }

    @Override
    public Version getQuPathVersion() {
        return Version.parse("0.6.0");
    }
}
