// Stub. Upstream: ASAP/interfaces/interfaces.h, ASAP 2.2.0 (b1bf355), installed as include/ASAP/interfaces.h.
#pragma once

#include "ASAP/PathologyViewer.h"

#include <QPointer>
#include <QtPlugin>

#include <string>

class MultiResolutionImage;
class QDockWidget;
class QMenu;
class QSettings;
class QToolBar;

class WorkstationExtensionPluginInterface : public QObject {
public:
    WorkstationExtensionPluginInterface() : _settings(nullptr) {}
    virtual ~WorkstationExtensionPluginInterface() {}
    virtual bool initialize(PathologyViewer *viewer) = 0;
    virtual QToolBar *getToolBar() { return nullptr; }
    virtual QMenu *getMenu() { return nullptr; }
    virtual QDockWidget *getDockWidget() { return nullptr; }
    virtual bool canClose() { return true; }

protected:
    QPointer<PathologyViewer> _viewer;
    QSettings *_settings;

public slots:
    virtual void onNewImageLoaded(MultiResolutionImage *, std::string) {}
    virtual void onImageClosed() {}
};

Q_DECLARE_INTERFACE(WorkstationExtensionPluginInterface, "ASAP.WorkstationExtensionPluginInterface/1.0")
