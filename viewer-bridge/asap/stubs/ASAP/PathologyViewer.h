// Stub. Upstream: ASAP/PathologyViewer.h, ASAP 2.2.0 (b1bf355).
#pragma once

#include <QGraphicsView>

class PathologyViewer : public QGraphicsView {
public:
    float getSceneScale() { return _sceneScale; }

protected:
    float _sceneScale = 1.0F;
};
