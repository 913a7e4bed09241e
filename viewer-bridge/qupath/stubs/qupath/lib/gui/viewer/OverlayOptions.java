package qupath.lib.gui.viewer;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/viewer/OverlayOptions.java of QuPath 0.6.0 and 0.7.0. */
public class OverlayOptions {}
