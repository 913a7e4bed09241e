package qupath.lib.objects.hierarchy.events;

import java.util.LinkedHashSet;
import java.util.Set;
import qupath.lib.objects.PathObject;

/** Signatures of qupath-core/src/main/java/qupath/lib/objects/hierarchy/events/PathObjectSelectionModel.java of QuPath 0.6.0 and 0.7.0. */
public class PathObjectSelectionModel {
    private final Set<PathObject> selected = new LinkedHashSet<>();

    public synchronized Set<PathObject> getSelectedObjects() {
        return selected;
    }

    public synchronized void setSelectedObject(PathObject pathObject) {
        selected.clear();
        selected.add(pathObject);
    }
}
