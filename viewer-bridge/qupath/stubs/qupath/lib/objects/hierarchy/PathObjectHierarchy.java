package qupath.lib.objects.hierarchy;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import qupath.lib.objects.PathObject;
import qupath.lib.objects.hierarchy.events.PathObjectSelectionModel;

/** Signatures of qupath-core/src/main/java/qupath/lib/objects/hierarchy/PathObjectHierarchy.java of QuPath 0.6.0 and 0.7.0. */
public class PathObjectHierarchy {
    private final List<PathObject> objects = new ArrayList<>();
    private final PathObjectSelectionModel selection = new PathObjectSelectionModel();

    public PathObjectSelectionModel getSelectionModel() {
        return selection;
    }

    public boolean addObject(PathObject pathObject) {
        return objects.add(pathObject);
    }

    public Collection<PathObject> getAnnotationObjects() {
        return objects;
    }
}
