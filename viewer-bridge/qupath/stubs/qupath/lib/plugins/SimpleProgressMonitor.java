package qupath.lib.plugins;

import qupath.lib.regions.ImageRegion;

/** Signatures of qupath-core/src/main/java/qupath/lib/plugins/SimpleProgressMonitor.java of QuPath 0.6.0 and 0.7.0. */
public interface SimpleProgressMonitor {
    void startMonitoring(String message, int maxProgress, boolean mayCancel);

    void updateProgress(int increment, String message, ImageRegion region);

    void pluginCompleted(String message);

    boolean cancelled();
}
