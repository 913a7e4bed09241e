package qupath.lib.scripting;

import java.awt.image.BufferedImage;
import java.util.Collection;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;

/** Signatures of qupath-core-processing/src/main/java/qupath/lib/scripting/QP.java of QuPath 0.6.0 and 0.7.0. */
public class QP {
    private static ImageData<BufferedImage> image;

    public static ImageData<BufferedImage> getCurrentImageData() {
        return image;
    }

    public static void setDefaultImageData(final ImageData<BufferedImage> imageData) {
        image = imageData;
    }

    public static Collection<PathObject> getAnnotationObjects() {
        return image.getHierarchy().getAnnotationObjects();
    }
}
